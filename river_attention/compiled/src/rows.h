/* The rows of a matrix of features: values to the columns of an encoder. */
#ifndef RA_ROWS_H
#define RA_ROWS_H

#include <math.h>

#define ROW_LIMIT 1e150

/* The n values of a row to out [n_inputs], as values.to_number makes them; NaN = missing. Value j
 * belongs to column columns[j], to none where that is -1; n_known of them have one. Returns 1 if
 * nothing is missing, 0 if something is, and -1 if a value that is not missing has no column. */
static int see_row(const double *row, const int *columns, int n, int n_known, int n_inputs,
                   double *out) {
    int n_seen = 0, new = 0;
    if (n_known < n_inputs)
        for (int i = 0; i < n_inputs; i++) out[i] = NAN;
    for (int j = 0; j < n; j++) {
        double value = row[j];
        int at = columns[j];
        if (!(fabs(value) <= ROW_LIMIT))
            value = isfinite(value) ? (value > 0.0 ? ROW_LIMIT : -ROW_LIMIT) : NAN;
        if (at >= 0) {
            out[at] = value;
            n_seen += value == value;
        } else {
            new |= value == value;
        }
    }
    return new ? -1 : n_seen == n_inputs;
}

#endif
