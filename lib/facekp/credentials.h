/* Reads what a weights file says of itself: docs/weights.md lists the keys. */
#ifndef FKP_CREDENTIALS_H
#define FKP_CREDENTIALS_H

#include "facekp/model.h"
#include "weights/weights.h"

/* Fills *credentials; `weights` NULL gives the defaults. Freed with fkp_credentials_free, also after failure.
 */
facekp_status fkp_credentials_read(const fkp_memory *memory, const fkp_weights *weights,
                                   fkp_credentials *credentials, fkp_error *error);
void fkp_credentials_free(const fkp_memory *memory, fkp_credentials *credentials);

#endif
