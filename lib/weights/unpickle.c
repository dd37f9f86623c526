/* The stack machine. Opcodes as in CPython's Lib/pickletools.py: those that protocol 2, which PyTorch writes,
 * and protocol 4 use for a state dict. One function an opcode; the table at the end names them all. */
#include "weights/unpickle.h"

#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "weights/container.h"
#include "weights/pickle_call.h"

#define MOST_STACK ((size_t)1 << 20)
#define MOST_MARKS ((size_t)1 << 16)
#define MOST_MEMO ((size_t)1 << 20)
#define MOST_PERSISTENT_IDS 65536
#define NEWEST_PROTOCOL 5

typedef struct machine {
    fkp_arena *arena;
    const uint8_t *data;
    size_t size, at;
    fkp_value **stack;
    size_t used, capacity;
    size_t *marks; /* heights of the stack */
    size_t mark_count, mark_capacity;
    fkp_value **memo;
    size_t memo_capacity, memo_next;
    fkp_persistent_load load;
    void *user;
    size_t loads;
    bool stopped;
    facekp_status status; /* of the opcode that failed */
    fkp_error *error;
} machine;

/* Records what is wrong; false, for the caller to hand on. */
static bool fail(machine *m, facekp_status status, const char *what) {
    m->status = fkp_fail(m->error, status, "pickle: %s at byte %zu", what, m->at);
    return false;
}

static bool bad(machine *m, const char *what) { return fail(m, FACEKP_ERROR_FORMAT, what); }
static bool cut(machine *m, const char *what) { return fail(m, FACEKP_ERROR_TRUNCATED, what); }
static bool too_much(machine *m, const char *what) { return fail(m, FACEKP_ERROR_LIMIT, what); }

static bool no_memory(machine *m) {
    m->status = fkp_arena_failure(m->arena, "the values of a pickle", m->error);
    return false;
}

/* A larger copy of an array in the arena; the old one stays until the arena goes. */
static void *grown(machine *m, const void *array, size_t element, size_t *capacity, size_t needed) {
    size_t larger = fkp_max_size(needed, fkp_max_size(2 * *capacity, 16));
    void *copy = fkp_arena_allocate(m->arena, larger, element);
    if (copy == NULL) return NULL;
    if (*capacity != 0) memcpy(copy, array, *capacity * element);
    *capacity = larger;
    return copy;
}

static bool push(machine *m, fkp_value *value) {
    if (value == NULL) return no_memory(m);
    if (m->used == MOST_STACK) return too_much(m, "too deep a stack");
    if (m->used == m->capacity) {
        fkp_value **stack = grown(m, m->stack, sizeof(fkp_value *), &m->capacity, 0);
        if (stack == NULL) return no_memory(m);
        m->stack = stack;
    }
    m->stack[m->used++] = value;
    return true;
}

/* Nothing may be taken from below the last mark but by an opcode that takes the mark. */
static bool pop(machine *m, fkp_value **value) {
    size_t floor = m->mark_count == 0 ? 0 : m->marks[m->mark_count - 1];
    if (m->used == floor) return bad(m, "a value is missing on the stack");
    *value = m->stack[--m->used];
    return true;
}

static bool pop_mark(machine *m, size_t *height) {
    if (m->mark_count == 0) return bad(m, "a mark is missing on the stack");
    *height = m->marks[--m->mark_count];
    return true;
}

/* The value that an opcode changes in place: on top, but above the last mark. */
static bool top(machine *m, fkp_value **value) {
    if (!pop(m, value)) return false;
    m->used++;
    return true;
}

/* ---- operands ---- */

static bool take(machine *m, size_t size, const uint8_t **bytes) {
    if (size > m->size - m->at) return cut(m, "ends inside an operand");
    *bytes = m->data + m->at;
    m->at += size;
    return true;
}

/* A little-endian number of 1, 2, 4 or 8 bytes. */
static bool take_number(machine *m, size_t width, uint64_t *number) {
    const uint8_t *bytes;
    if (!take(m, width, &bytes)) return false;
    *number = 0;
    for (size_t i = width; i-- > 0;) *number = *number << 8 | bytes[i];
    return true;
}

static bool take_line(machine *m, const char **text, size_t *length) {
    const uint8_t *end = memchr(m->data + m->at, '\n', m->size - m->at);
    if (end == NULL) return cut(m, "a line has no end");
    *text = (const char *)m->data + m->at;
    *length = (size_t)(end - (m->data + m->at));
    m->at += *length + 1;
    return true;
}

/* ---- literals ---- */

static bool push_simple(machine *m, fkp_value_kind kind, int64_t integer) {
    fkp_value *value = fkp_value_new(m->arena, kind);
    if (value != NULL) value->integer = integer;
    return push(m, value);
}

static bool op_none(machine *m) { return push_simple(m, FKP_VALUE_NONE, 0); }
static bool op_true(machine *m) { return push_simple(m, FKP_VALUE_BOOLEAN, 1); }
static bool op_false(machine *m) { return push_simple(m, FKP_VALUE_BOOLEAN, 0); }

static bool push_integer(machine *m, size_t width, bool is_signed) {
    uint64_t number;
    if (!take_number(m, width, &number)) return false;
    return push_simple(m, FKP_VALUE_INTEGER, is_signed ? (int32_t)(uint32_t)number : (int64_t)number);
}

static bool op_int1(machine *m) { return push_integer(m, 1, false); }
static bool op_int2(machine *m) { return push_integer(m, 2, false); }
static bool op_int4(machine *m) { return push_integer(m, 4, true); }

static bool push_opaque(machine *m, const char *what) {
    fkp_value *value = fkp_value_new(m->arena, FKP_VALUE_OPAQUE);
    if (value != NULL) value->text = what;
    return push(m, value);
}

/* Two's complement of any length; what does not fit 64 bits is of no use to a tensor. */
static bool push_long(machine *m, size_t width) {
    uint64_t length, number = 0;
    const uint8_t *bytes;
    if (!take_number(m, width, &length)) return false;
    if (length > SIZE_MAX) return too_much(m, "too long an integer");
    if (!take(m, (size_t)length, &bytes)) return false;
    if (length > 8) return push_opaque(m, "a long integer");
    if (length > 0 && (bytes[length - 1] & 0x80) != 0) number = UINT64_MAX;
    for (size_t i = (size_t)length; i-- > 0;) number = number << 8 | bytes[i];
    return push_simple(m, FKP_VALUE_INTEGER, (int64_t)number);
}

static bool op_long1(machine *m) { return push_long(m, 1); }
static bool op_long4(machine *m) { return push_long(m, 4); }

static bool op_float(machine *m) {
    const uint8_t *bytes;
    return take(m, 8, &bytes) && push_opaque(m, "a float");
}

static bool push_string(machine *m, size_t width) {
    uint64_t length;
    const uint8_t *bytes;
    if (!take_number(m, width, &length)) return false;
    if (length > SIZE_MAX) return too_much(m, "too long a string");
    if (!take(m, (size_t)length, &bytes)) return false;
    fkp_value *value = fkp_value_new(m->arena, FKP_VALUE_STRING);
    if (value == NULL) return no_memory(m);
    value->length = (size_t)length;
    value->text = fkp_arena_copy(m->arena, (const char *)bytes, value->length);
    return value->text == NULL ? no_memory(m) : push(m, value);
}

static bool op_string1(machine *m) { return push_string(m, 1); }
static bool op_string4(machine *m) { return push_string(m, 4); }
static bool op_string8(machine *m) { return push_string(m, 8); }

/* ---- containers ---- */

static bool op_mark(machine *m) {
    if (m->mark_count == MOST_MARKS) return too_much(m, "too many marks");
    if (m->mark_count == m->mark_capacity) {
        size_t *marks = grown(m, m->marks, sizeof(size_t), &m->mark_capacity, 0);
        if (marks == NULL) return no_memory(m);
        m->marks = marks;
    }
    m->marks[m->mark_count++] = m->used;
    return true;
}

static bool op_empty_dict(machine *m) { return push_simple(m, FKP_VALUE_DICT, 0); }
static bool op_empty_list(machine *m) { return push_simple(m, FKP_VALUE_LIST, 0); }
static bool op_empty_tuple(machine *m) { return push_simple(m, FKP_VALUE_TUPLE, 0); }
static bool op_empty_set(machine *m) { return push_opaque(m, "a set"); }

static bool append(machine *m, fkp_value *container, fkp_value *const *items, size_t count) {
    size_t needed = container->count + count;
    if (needed > container->capacity) {
        fkp_value **larger = grown(m, container->items, sizeof(fkp_value *), &container->capacity, needed);
        if (larger == NULL) return no_memory(m);
        container->items = larger;
    }
    if (count != 0) memcpy(container->items + container->count, items, count * sizeof *items);
    container->count = needed;
    return true;
}

/* A tuple of everything above a height of the stack. */
static bool collect_tuple(machine *m, size_t height) {
    fkp_value *tuple = fkp_value_new(m->arena, FKP_VALUE_TUPLE);
    if (tuple == NULL) return no_memory(m);
    if (!append(m, tuple, m->stack + height, m->used - height)) return false;
    m->used = height;
    return push(m, tuple);
}

static bool op_tuple(machine *m) {
    size_t height;
    return pop_mark(m, &height) && collect_tuple(m, height);
}

static bool short_tuple(machine *m, size_t count) {
    size_t floor = m->mark_count == 0 ? 0 : m->marks[m->mark_count - 1];
    if (m->used - floor < count) return bad(m, "a value is missing on the stack");
    return collect_tuple(m, m->used - count);
}

static bool op_tuple1(machine *m) { return short_tuple(m, 1); }
static bool op_tuple2(machine *m) { return short_tuple(m, 2); }
static bool op_tuple3(machine *m) { return short_tuple(m, 3); }

/* Moves everything above a height into the container below it. Opaque containers swallow it. */
static bool fill(machine *m, size_t height, fkp_value_kind kind, const char *what) {
    fkp_value *container;
    size_t count = m->used - height;
    m->used = height;
    if (!top(m, &container)) return false;
    if (container->kind == FKP_VALUE_OPAQUE) return true;
    if (container->kind != kind || (kind == FKP_VALUE_DICT && count % 2 != 0)) return bad(m, what);
    return append(m, container, m->stack + height, count);
}

static bool fill_counted(machine *m, size_t count, fkp_value_kind kind, const char *what) {
    size_t floor = m->mark_count == 0 ? 0 : m->marks[m->mark_count - 1];
    if (m->used - floor < count) return bad(m, "a value is missing on the stack");
    return fill(m, m->used - count, kind, what);
}

static bool fill_marked(machine *m, fkp_value_kind kind, const char *what) {
    size_t height;
    return pop_mark(m, &height) && fill(m, height, kind, what);
}

static const char no_list[] = "values appended to what is no list";
static const char no_dict[] = "entries set in what is no dict";

static bool op_append(machine *m) { return fill_counted(m, 1, FKP_VALUE_LIST, no_list); }
static bool op_appends(machine *m) { return fill_marked(m, FKP_VALUE_LIST, no_list); }
static bool op_setitem(machine *m) { return fill_counted(m, 2, FKP_VALUE_DICT, no_dict); }
static bool op_setitems(machine *m) { return fill_marked(m, FKP_VALUE_DICT, no_dict); }
static bool op_additems(machine *m) { return fill_marked(m, FKP_VALUE_OPAQUE, "no set to add to"); }

/* ---- memo ---- */

static bool put(machine *m, uint64_t index) {
    fkp_value *value;
    if (!top(m, &value)) return false;
    if (index >= MOST_MEMO) return too_much(m, "too large a memo index");
    if (index >= m->memo_capacity) {
        fkp_value **memo = grown(m, m->memo, sizeof(fkp_value *), &m->memo_capacity, (size_t)index + 1);
        if (memo == NULL) return no_memory(m);
        m->memo = memo;
    }
    m->memo[index] = value;
    m->memo_next = fkp_max_size(m->memo_next, (size_t)index + 1);
    return true;
}

static bool put_operand(machine *m, size_t width) {
    uint64_t index;
    return take_number(m, width, &index) && put(m, index);
}

static bool get_operand(machine *m, size_t width) {
    uint64_t index;
    if (!take_number(m, width, &index)) return false;
    if (index >= m->memo_capacity || m->memo[index] == NULL) return bad(m, "an unknown memo index");
    return push(m, m->memo[index]);
}

static bool op_put1(machine *m) { return put_operand(m, 1); }
static bool op_put4(machine *m) { return put_operand(m, 4); }
static bool op_memoize(machine *m) { return put(m, m->memo_next); }
static bool op_get1(machine *m) { return get_operand(m, 1); }
static bool op_get4(machine *m) { return get_operand(m, 4); }

/* ---- objects ---- */

static bool push_global(machine *m, const char *module, size_t module_length, const char *name,
                        size_t name_length) {
    fkp_value *global = fkp_value_new(m->arena, FKP_VALUE_GLOBAL);
    if (global == NULL) return no_memory(m);
    char *text = fkp_arena_allocate(m->arena, module_length + name_length + 2, 1);
    if (text == NULL) return no_memory(m);
    memcpy(text, module, module_length);
    text[module_length] = '.';
    memcpy(text + module_length + 1, name, name_length);
    global->text = text;
    global->length = module_length + name_length + 1;
    return push(m, global);
}

static bool op_global(machine *m) {
    const char *module, *name;
    size_t module_length, name_length;
    return take_line(m, &module, &module_length) && take_line(m, &name, &name_length) &&
           push_global(m, module, module_length, name, name_length);
}

static bool op_stack_global(machine *m) {
    fkp_value *module, *name;
    if (!pop(m, &name) || !pop(m, &module)) return false;
    if (module->kind != FKP_VALUE_STRING || name->kind != FKP_VALUE_STRING)
        return bad(m, "a global whose name is no string");
    return push_global(m, module->text, module->length, name->text, name->length);
}

/* REDUCE and NEWOBJ: a callable and a tuple of arguments become what fkp_pickle_call makes of them. */
static bool op_call(machine *m) {
    fkp_value *arguments, *callable, *result;
    if (!pop(m, &arguments) || !pop(m, &callable)) return false;
    if (arguments->kind != FKP_VALUE_TUPLE) return bad(m, "arguments that are no tuple");
    m->status = fkp_pickle_call(m->arena, callable, arguments, &result, m->error);
    return m->status == FACEKP_OK && push(m, result);
}

/* NEWOBJ_EX: keyword arguments belong to no object that is known here. */
static bool op_call_with_keywords(machine *m) {
    fkp_value *popped;
    for (int i = 0; i < 3; i++) {
        if (!pop(m, &popped)) return false;
    }
    return push_opaque(m, "an object made with keywords");
}

/* Of all state only a Parameter's matters: its tensor comes first. An OrderedDict's holds _metadata. */
static bool op_build(machine *m) {
    fkp_value *state, *object;
    if (!pop(m, &state) || !top(m, &object)) return false;
    if (object->kind != FKP_VALUE_PARAMETER) return true;
    if (state->kind != FKP_VALUE_TUPLE || state->count == 0 || state->items[0]->kind != FKP_VALUE_TENSOR)
        return bad(m, "a Parameter without a tensor");
    object->kind = FKP_VALUE_TENSOR;
    object->view = state->items[0]->view;
    return true;
}

static bool op_persistent_id(machine *m) {
    fkp_value *id, *value = NULL;
    if (!pop(m, &id)) return false;
    if (m->load == NULL) return bad(m, "an object outside the pickle, where none can be,");
    if (m->loads++ == MOST_PERSISTENT_IDS) return too_much(m, "too many tensors");
    m->status = m->load(m->user, id, &value, m->error);
    return m->status == FACEKP_OK && push(m, value);
}

/* ---- the whole ---- */

static bool op_protocol(machine *m) {
    uint64_t protocol;
    if (!take_number(m, 1, &protocol)) return false;
    return protocol <= NEWEST_PROTOCOL || fail(m, FACEKP_ERROR_UNSUPPORTED, "a protocol that is not known");
}

static bool op_frame(machine *m) {
    uint64_t length;
    return take_number(m, 8, &length);
}

static bool op_stop(machine *m) {
    m->stopped = true;
    return true;
}

typedef bool (*operation)(machine *m);

static const operation operations[256] = {
    ['('] = op_mark,
    ['.'] = op_stop,
    ['B'] = op_string4,
    ['C'] = op_string1,
    ['G'] = op_float,
    ['J'] = op_int4,
    ['K'] = op_int1,
    ['M'] = op_int2,
    ['N'] = op_none,
    ['Q'] = op_persistent_id,
    ['R'] = op_call,
    ['T'] = op_string4,
    ['U'] = op_string1,
    ['X'] = op_string4,
    [']'] = op_empty_list,
    ['a'] = op_append,
    ['b'] = op_build,
    ['c'] = op_global,
    ['e'] = op_appends,
    ['h'] = op_get1,
    ['j'] = op_get4,
    ['q'] = op_put1,
    ['r'] = op_put4,
    ['s'] = op_setitem,
    ['t'] = op_tuple,
    ['u'] = op_setitems,
    ['}'] = op_empty_dict,
    [')'] = op_empty_tuple,
    [0x80] = op_protocol,
    [0x81] = op_call,
    [0x85] = op_tuple1,
    [0x86] = op_tuple2,
    [0x87] = op_tuple3,
    [0x88] = op_true,
    [0x89] = op_false,
    [0x8a] = op_long1,
    [0x8b] = op_long4,
    [0x8c] = op_string1,
    [0x8d] = op_string8,
    [0x8e] = op_string8,
    [0x8f] = op_empty_set,
    [0x90] = op_additems,
    [0x92] = op_call_with_keywords,
    [0x93] = op_stack_global,
    [0x94] = op_memoize,
    [0x95] = op_frame,
};

static bool run(machine *m) {
    while (!m->stopped) {
        uint64_t code;
        if (m->at == m->size) return cut(m, "ends without STOP");
        if (!take_number(m, 1, &code)) return false;
        if (operations[code] == NULL) {
            char what[64];
            snprintf(what, sizeof what, "opcode 0x%02x, which no state dict needs,", (unsigned)code);
            m->at--;
            return bad(m, what);
        }
        if (!operations[code](m)) return false;
    }
    return true;
}

facekp_status fkp_unpickle(fkp_arena *arena, const uint8_t *data, size_t size, fkp_persistent_load load,
                           void *user, fkp_value **value, size_t *used, fkp_error *error) {
    machine m = {.arena = arena, .data = data, .size = size, .load = load, .user = user, .error = error};
    if (!run(&m) || !pop(&m, value)) return m.status;
    *used = m.at;
    return FACEKP_OK;
}
