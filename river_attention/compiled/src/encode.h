/* The dict of a row whose keys come in the order seen before: no code but this runs meanwhile. */
#ifndef RA_ENCODE_H
#define RA_ENCODE_H

#include <Python.h>
#include <math.h>

#define VALUE_LIMIT 1e150

/* Values to their columns, NaN for missing ones. `keys` are the keys in their order, plain strings
 * and ints of which this has a reference. Returns 1 if nothing is missing, 0 if something is, and -1
 * if the dict is none that this knows: then some columns are written. */
static int encode_row(PyObject *x, PyObject *keys, const int *columns, PyTypeObject *float64,
                      double *out) {
    Py_ssize_t at = 0, i = 0;
    PyObject *key, *value;
    int complete = 1;
    while (PyDict_Next(x, &at, &key, &value)) {
        PyObject *expected = PyList_GET_ITEM(keys, i);
        if (key != expected) {
            if (!PyUnicode_CheckExact(key) || !PyUnicode_CheckExact(expected)) return -1;
            if (PyUnicode_Compare(key, expected) != 0) return -1;
            Py_INCREF(key); /* so that it is found at once next time */
            PyList_SET_ITEM(keys, i, key);
            Py_DECREF(expected);
        }
        double number;
        PyTypeObject *kind = Py_TYPE(value);
        if (kind == &PyFloat_Type || kind == float64) { /* which is a float, too */
            number = PyFloat_AS_DOUBLE(value);
        } else if (kind == &PyLong_Type || kind == &PyBool_Type) {
            number = PyLong_AsDouble(value);
            if (number == -1.0 && PyErr_Occurred()) { /* beyond a float */
                PyErr_Clear();
                number = NAN;
            }
        } else if (value == Py_None) {
            number = NAN;
        } else {
            return -1;
        }
        if (!(fabs(number) <= VALUE_LIMIT)) {
            if (isfinite(number)) {
                number = number > 0.0 ? VALUE_LIMIT : -VALUE_LIMIT;
            } else {
                number = NAN;
                complete = 0;
            }
        }
        out[columns[i++]] = number;
    }
    return complete;
}

#endif
