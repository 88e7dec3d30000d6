"""What the compiled kernels stand on and Numba lacks: tasks on threads, vectors, and memory that is used again."""
