/* The Python side: takes numbers, and lets other threads run while the kernels do. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "native.h"

#include <string.h>

#define HELD 8192    /* elements for which handing over the interpreter's lock does not pay */
#define FEW_PARTS 64 /* whose sums find room on the stack */

static const variant *chosen;

/* From data pointer, kind (with 8 added where negated lazily) and strides in elements. */
static int take_view(PyObject *const *args, view *v) {
    int64_t strides[2];
    long kind = PyLong_AsLong(args[1]);
    if (kind == -1 && PyErr_Occurred()) return 0;
    if (kind < 0 || (kind & 7) > TRUTH || !PyTuple_Check(args[2]) || PyTuple_Size(args[2]) != 2) {
        PyErr_SetString(PyExc_ValueError, "expected a pointer, a kind, and two strides");
        return 0;
    }
    for (int i = 0; i < 2; i++) strides[i] = PyLong_AsLongLong(PyTuple_GetItem(args[2], i));
    v->data = PyLong_AsVoidPtr(args[0]);
    v->negated = kind >= 8;
    v->kind = (int)(kind & 7);
    v->row = strides[0] * bytes_of(v->kind);
    v->column = strides[1] * bytes_of(v->kind);
    return !PyErr_Occurred();
}

/* Number of threads, the shape, and x_recon, x and the mask. */
static int take_problem(PyObject *const *args, Py_ssize_t given, Py_ssize_t wanted, problem *p,
                        int64_t *threads) {
    memset(p, 0, sizeof *p);
    if (given != wanted || !PyTuple_Check(args[1]) || PyTuple_Size(args[1]) != 2) {
        PyErr_Format(PyExc_TypeError, "expected %zd arguments, the second a shape", wanted);
        return 0;
    }
    *threads = PyLong_AsLongLong(args[0]);
    p->rows = PyLong_AsLongLong(PyTuple_GetItem(args[1], 0));
    p->columns = PyLong_AsLongLong(PyTuple_GetItem(args[1], 1));
    if (PyErr_Occurred()) return 0;
    for (int i = 0; i < 3; i++)
        if (!take_view(args + 2 + 3 * i, &p->views[i])) return 0;
    return 1;
}

static int is_wide(const problem *p) {
    return p->views[X_RECON].kind == FLOAT64 || p->views[X].kind == FLOAT64;
}

static void run(problem *p, void (*kernel)(void *, int64_t), int64_t threads) {
    if (p->rows * p->columns <= HELD) {
        in_parallel(kernel, p, p->parts, 1);
        return;
    }
    Py_BEGIN_ALLOW_THREADS
    in_parallel(kernel, p, p->parts, threads);
    Py_END_ALLOW_THREADS
}

PyDoc_STRVAR(reduced_doc,
             "reduced(threads, shape, *x_recon, *x, *mask, out, divisor)\n--\n\n"
             "Write the sum over the divisor to `out`, and return the divisor. For 0 the divisor is\n"
             "the number of True in the mask, and at least 1.");

static PyObject *reduced(PyObject *module, PyObject *const *args, Py_ssize_t given) {
    problem p;
    partial few[FEW_PARTS], total = {0, 0, 0};
    int64_t threads, divisor;
    void *out;
    double loss;
    (void)module;
    if (!take_problem(args, given, 13, &p, &threads)) return NULL;
    out = PyLong_AsVoidPtr(args[11]);
    divisor = PyLong_AsLongLong(args[12]);
    if (PyErr_Occurred()) return NULL;
    arrange(&p);
    p.partials = few;
    if (p.parts > FEW_PARTS) p.partials = PyMem_Malloc((size_t)p.parts * sizeof *p.partials);
    if (p.partials == NULL) return PyErr_NoMemory();
    run(&p, chosen->sums[is_wide(&p)], threads);
    for (int64_t i = 0; i < p.parts; i++) add_partial(&total, &p.partials[i]);
    if (p.partials != few) PyMem_Free(p.partials);
    if (divisor == 0) divisor = total.count > 0 ? total.count : 1;
    loss = total.high + total.low;
    if (is_wide(&p)) {
        loss /= (double)divisor;
        memcpy(out, &loss, sizeof loss);
    } else {
        float rounded = (float)(loss / (double)divisor);
        memcpy(out, &rounded, sizeof rounded);
    }
    return PyLong_FromLongLong(divisor);
}

PyDoc_STRVAR(gradients_doc,
             "gradients(threads, shape, *x_recon, *x, *mask, *for_x_recon, *for_x, upstream, "
             "divisor)\n--\n\n"
             "Write 2 (x_recon - x) mask upstream / divisor, and its negation; not where a\n"
             "gradient's pointer is 0.");

static PyObject *gradients(PyObject *module, PyObject *const *args, Py_ssize_t given) {
    problem p;
    int64_t threads;
    double upstream, divisor;
    (void)module;
    if (!take_problem(args, given, 19, &p, &threads)) return NULL;
    for (int i = FOR_RECON; i <= FOR_X; i++)
        if (!take_view(args + 2 + 3 * i, &p.views[i])) return NULL;
    upstream = PyFloat_AsDouble(args[17]);
    divisor = PyFloat_AsDouble(args[18]);
    if (PyErr_Occurred()) return NULL;
    p.scale = is_wide(&p) ? upstream / divisor : (double)((float)upstream / (float)divisor);
    if (p.views[FOR_RECON].data == NULL) { /* x - x_recon is the negation */
        view x_recon = p.views[X_RECON];
        p.views[X_RECON] = p.views[X];
        p.views[X] = x_recon;
        p.views[FOR_RECON] = p.views[FOR_X];
        p.views[FOR_X].data = NULL;
    }
    if (p.views[FOR_RECON].data != NULL) {
        arrange(&p);
        run(&p, chosen->gradients[is_wide(&p)], threads);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(choose_doc,
             "choose(name)\n--\n\n"
             "Use the kernels compiled for the instruction set of that name, or for \"\" the best\n"
             "that this processor has, and return its name. ValueError where it has not.");

static PyObject *choose(PyObject *module, PyObject *argument) {
    const variant *found = NULL;
    PyObject *name;
    (void)module;
    for (const variant *v = variants; v->name != NULL; v++) {
        name = PyUnicode_FromString(v->name);
        if (name == NULL) return NULL;
        if (v->usable() && (PyUnicode_Compare(argument, name) == 0 ||
                            (PyUnicode_Check(argument) && PyUnicode_GetLength(argument) == 0)))
            found = v;
        Py_DECREF(name);
        if (PyErr_Occurred()) return NULL;
    }
    if (found == NULL)
        return PyErr_Format(PyExc_ValueError, "this processor has no kernels %R", argument);
    chosen = found;
    return PyUnicode_FromString(found->name);
}

PyDoc_STRVAR(share_doc,
             "share(address)\n--\n\n"
             "Use the threads of the OpenMP whose GOMP_parallel is there, or for 0 threads of our own.");

static PyObject *share(PyObject *module, PyObject *argument) {
    void *address = PyLong_AsVoidPtr(argument);
    fork_join start;
    (void)module;
    if (PyErr_Occurred()) return NULL;
    memcpy(&start, &address, sizeof start);
    share_threads(start);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"reduced", (PyCFunction)(void (*)(void))reduced, METH_FASTCALL, reduced_doc},
    {"gradients", (PyCFunction)(void (*)(void))gradients, METH_FASTCALL, gradients_doc},
    {"choose", choose, METH_O, choose_doc},
    {"share", share, METH_O, share_doc},
    {NULL, NULL, 0, NULL},
};

static int execute(PyObject *module) {
    (void)module;
    for (const variant *v = variants; v->name != NULL; v++)
        if (v->usable()) chosen = v;
    if (prepare_threads() != 0) {
        PyErr_SetString(PyExc_ImportError, "the system takes no handlers for fork");
        return -1;
    }
    return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)execute},
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_native", "The kernels of wavemae.fused.native.", 0, methods,
    slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&definition); }
