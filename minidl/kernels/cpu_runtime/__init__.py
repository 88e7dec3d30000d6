"""What the compiled kernels stand on and what computes nothing itself: tasks on threads, and memory used again."""
