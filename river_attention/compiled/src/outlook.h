/* What a memory shows to other models: the twin of core/outlook.py. */
#ifndef RA_OUTLOOK_H
#define RA_OUTLOOK_H

#include <math.h>

#define SHOWN_LENGTH 2.0
#define SHOWN_SHORT 0.5
#define SHOWN_LIMIT 4.0

static double shown_forecast(double forecast, double unit) {
    double shown = SHOWN_LENGTH * (forecast / unit);
    if (!(unit > 0.0)) return 0.0;
    return shown > SHOWN_LIMIT ? SHOWN_LIMIT : shown < -SHOWN_LIMIT ? -SHOWN_LIMIT : shown;
}

/* n standardised values as a group of features */
static void shown_group(const double *values, int n, int limited, double *out) {
    double scale = SHOWN_SHORT / sqrt(n), square = 0.0;
    for (int i = 0; i < n; i++) {
        out[i] = values[i] * scale;
        square += out[i] * out[i];
    }
    double length = sqrt(square);
    if (!limited || !(length > SHOWN_SHORT)) return;
    for (int i = 0; i < n; i++) out[i] *= SHOWN_SHORT / length;
}

#endif
