/* What calling a global of a pickle gives. Nothing is called: the few globals of a state dict have their
 * meaning here, all others give an opaque value. */
#ifndef FKP_PICKLE_CALL_H
#define FKP_PICKLE_CALL_H

#include "weights/unpickle.h"

facekp_status fkp_pickle_call(fkp_arena *arena, const fkp_value *callable, const fkp_value *arguments,
                              fkp_value **result, fkp_error *error);

#endif
