"""pytest finds no tests here: Python imports these modules when it starts, where PYTHONPATH asks for them."""

collect_ignore = ["sitecustomize.py", "strict_files.py"]
