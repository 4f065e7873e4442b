"""The compiled core: the walk of a step in C, on states that it borrows from the NumPy objects."""
