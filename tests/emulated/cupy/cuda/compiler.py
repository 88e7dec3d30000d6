"""``cupy.cuda.compiler``."""

from ..compiler import CompileException as CompileException
