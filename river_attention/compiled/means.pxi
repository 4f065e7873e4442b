"""Running means of numbers that are all there."""


def running_mean(const double[::1] values, double n, double mean):
    """The mean after some more values, step by step as ``river.stats.Mean`` takes them.

    Parameters
    ----------
    values
        The values [k].
    n, mean
        How many came before, and their mean.

    Returns
    -------
    The mean of all n + k.
    """
    cdef Py_ssize_t i
    # rounded on its own, as in Python: compilers for some processors would add it unrounded
    cdef volatile double step
    for i in range(values.shape[0]):
        n += 1.0
        step = (1.0 / n) * (values[i] - mean)
        mean += step
    return mean
