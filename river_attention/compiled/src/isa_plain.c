#define RA_TABLE ra_plain
#include "kernels.h"
