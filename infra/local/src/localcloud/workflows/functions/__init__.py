"""What functions of a program are: their signatures and the checks of their arguments."""
