/* A clock for differences: seconds since some moment, never set back. */
#ifndef FKP_CLOCK_H
#define FKP_CLOCK_H

double fkp_seconds_now(void);

#endif
