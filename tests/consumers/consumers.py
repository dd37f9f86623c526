#!/usr/bin/env python3
"""Installs libfacekp to a scratch prefix, moves the prefix, and uses it as outsiders do.

    consumers.py STAGE SOURCE BUILD SCRATCH
"""
import glob
import os
import re
import shutil
import subprocess
import sys

stage, SOURCE, BUILD, SCRATCH = sys.argv[1], *map(os.path.abspath, sys.argv[2:5])
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(SOURCE, "tests", "support"))
import model_files  # noqa: E402
import png_files  # noqa: E402

PREFIX = os.path.join(SCRATCH, "moved")
EXAMPLES = os.path.join(SOURCE, "examples")
MODEL, FACE = os.path.join(SCRATCH, "model.safetensors"), os.path.join(SCRATCH, "face.png")
SIZE_LIMIT = 1 << 20


def need(program):
    if not shutil.which(program):
        print("skipped: there is no " + program)
        sys.exit(77)
    return program


def run(*command, **options):
    print("+ " + " ".join(command), flush=True)
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def library(name):
    found = glob.glob(os.path.join(PREFIX, "lib*", name)) + glob.glob(os.path.join(PREFIX, "lib*", "*", name))
    assert found, name + " was not installed"
    return found[0]


def library_folder():
    return os.path.dirname(library("libfacekp.so"))


def environment():
    """What a user sets for a prefix that the system does not know."""
    return dict(os.environ, PKG_CONFIG_PATH=os.path.join(library_folder(), "pkgconfig"),
                LD_LIBRARY_PATH=library_folder(), FACEKP_LIBRARY=library("libfacekp.so"),
                PYTHONPATH=os.path.join(EXAMPLES, "python"), PYTHONDONTWRITEBYTECODE="1")


def pkg_config(*options):
    return run(need("pkg-config"), *options, "facekp", env=environment()).split()


def install():
    first = os.path.join(SCRATCH, "first")
    for folder in (first, PREFIX):
        shutil.rmtree(folder, ignore_errors=True)
    run("cmake", "--install", BUILD, "--prefix", first)
    os.rename(first, PREFIX)
    model_files.write_safetensors(MODEL, *model_files.dino())
    png_files.write_png(FACE, 224, 224, png_files.face_like)
    assert "Usage" in run(os.path.join(PREFIX, "bin", "facekp"), "--help")
    assert os.path.exists(os.path.join(PREFIX, "share", "man", "man1", "facekp.1"))


def pkgconfig_shared():
    program = os.path.join(SCRATCH, "consumer_shared")
    run("cc", "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror",
        os.path.join(SOURCE, "tests", "consumers", "consumer.c"), "-o", program, *pkg_config("--cflags", "--libs"))
    run(program, MODEL, env=environment())


def pkgconfig_static():
    """With the archive beside the shared library, the linker must be told which; all else is pkg-config's."""
    program = os.path.join(SCRATCH, "consumer_static")
    flags = [library("libfacekp.a") if flag == "-lfacekp" else flag
             for flag in pkg_config("--static", "--cflags", "--libs")]
    run("cc", os.path.join(SOURCE, "tests", "consumers", "consumer.c"), "-o", program, *flags)
    run(program, MODEL)


def package():
    need("c++")
    build = os.path.join(SCRATCH, "package")
    shutil.rmtree(build, ignore_errors=True)
    run("cmake", "-S", os.path.join(SOURCE, "tests", "consumers", "package"), "-B", build,
        "-DCMAKE_PREFIX_PATH=" + PREFIX, "-DEXAMPLES=" + EXAMPLES)
    run("cmake", "--build", build)
    outputs = [run(os.path.join(build, name), MODEL, FACE) for name in ("facekp_consumer", "facekp_static_consumer")]
    assert outputs[0] == outputs[1] and len(outputs[0].splitlines()) == 68
    linked = run("readelf", "-d", os.path.join(build, "facekp_static_consumer"))
    assert "libfacekp" not in linked, linked


def subdirectory():
    build = os.path.join(SCRATCH, "subdirectory")
    run("cmake", "-S", os.path.join(SOURCE, "tests", "consumers", "subdirectory"), "-B", build,
        "-DFACEKP_SOURCE=" + SOURCE, "-DCMAKE_BUILD_TYPE=Release")
    run("cmake", "--build", build, "--target", "consumer")
    run(os.path.join(build, "consumer"), MODEL)


def python():
    """The ctypes module gives what minimal.c gives, and what consumer.py asks for."""
    program = os.path.join(SCRATCH, "minimal")
    run("cc", os.path.join(EXAMPLES, "minimal.c"), "-o", program, *pkg_config("--cflags", "--libs"))
    from_c = [line.split()[1:] for line in run(program, MODEL, FACE, env=environment()).splitlines()]
    line = run(sys.executable, os.path.join(EXAMPLES, "python", "predict.py"), MODEL, FACE, env=environment())
    from_python = [pair.split(",") for pair in line.split()[1:]]
    assert from_c == from_python and len(from_c) == 68
    run(sys.executable, os.path.join(SOURCE, "tests", "consumers", "consumer.py"), MODEL, FACE, env=environment())


def headers():
    include = "-I" + os.path.join(PREFIX, "include")
    for path in glob.glob(os.path.join(PREFIX, "include", "facekp", "*.h")):
        alone = os.path.join(SCRATCH, "alone.c")
        with open(alone, "w") as file:
            file.write('#include "facekp/%s"\nextern int translation_unit;\n' % os.path.basename(path))
        strict = ("-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", include)
        run("cc", "-std=c99", *strict, "-x", "c", alone)
        if shutil.which("c++"):
            run("c++", "-std=c++11", *strict, "-x", "c++", alone)


def defined_symbols(*options):
    lines = run("nm", "--defined-only", *options).splitlines()
    return {fields[2].split("@")[0] for fields in map(str.split, lines) if len(fields) == 3 and fields[1] != "A"}


def symbols():
    for name in ("libfacekp", "libfacekp-train"):
        if name != "libfacekp" and not os.path.exists(os.path.join(library_folder(), name + ".so")):
            continue
        shared = defined_symbols("-D", library(name + ".so"))
        assert shared and all(symbol.startswith("facekp_") for symbol in shared), sorted(shared)
        static = defined_symbols("-g", library(name + ".a"))
        strangers = {symbol for symbol in static if not symbol.startswith(("facekp_", "fkp_"))}
        assert shared <= static and not strangers, sorted(strangers)
    with open(os.path.join(PREFIX, "include", "facekp", "facekp.h"), encoding="utf-8") as file:
        code = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
    declared = set(re.findall(r"\b(facekp_[a-z0-9_]+)\(", code))
    assert declared == defined_symbols("-D", library("libfacekp.so"))


def size():
    copy = os.path.join(SCRATCH, "stripped.so")
    run("strip", "-o", copy, library("libfacekp.so"))
    stripped = os.path.getsize(copy)
    print("libfacekp.so stripped: %d bytes, at most %d" % (stripped, SIZE_LIMIT))
    assert stripped <= SIZE_LIMIT


PAGES = ["README.md", "examples/README.md", "docs/embedding.md", "docs/weights.md"]
TRAINING_PAGES = ["docs/training.md"]
BLOCK = re.compile(r"<!-- (?:(file): ([\w.]+)|(run|gate|setup)) -->\n```\w+\n(.*?)```\n", flags=re.S)


def run_page(page, folder):
    """Blocks after <!-- file: NAME --> become files; those after <!-- run --> are run by the shell, in order, in a folder
    with a model and a face. What a <!-- gate --> block says is a line of .ci/run; of a <!-- setup --> block, the command
    of the tool is run, with the model that comes with it."""
    with open(os.path.join(SOURCE, page), encoding="utf-8") as file:
        text = file.read()
    blocks = BLOCK.findall(text)
    assert len(blocks) == text.count("```") // 2, "a block of %s is not run" % page
    tools = dict(environment(), PREFIX=PREFIX, EXAMPLES=EXAMPLES,
                 PATH=os.path.join(PREFIX, "bin") + os.pathsep + os.environ["PATH"])
    for _, name, kind, block in blocks:
        if name:
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(block)
        elif kind == "run":
            run("sh", "-euc", block, cwd=folder, env=tools)
        elif kind == "gate":
            with open(os.path.join(SOURCE, ".ci", "run"), encoding="utf-8") as file:
                gate = file.read().splitlines()
            assert all(line in gate for line in block.splitlines()), "the gate does not run what %s says" % page
        else:
            command = block.strip().splitlines()[-1]
            assert command.startswith("build/examples/facekp/facekp predict docs/face.png"), command
            tool = os.path.join(BUILD, "examples", "facekp", "facekp")
            run(tool, *command.split()[1:-1], os.path.join(folder, "overlay.png"), cwd=SOURCE,
                env={name: value for name, value in tools.items() if name != "FACEKP_MODEL"})


def documents():
    """Every example of the pages."""
    need("c++")
    trains = os.path.exists(os.path.join(library_folder(), "libfacekp-train.so"))
    for page in PAGES + (TRAINING_PAGES if trains else []):
        folder = os.path.join(SCRATCH, page.replace("/", "_"))
        shutil.rmtree(folder, ignore_errors=True)
        if page == "examples/README.md":
            shutil.copytree(EXAMPLES, folder, ignore=shutil.ignore_patterns("models"))
        else:
            os.mkdir(folder)
        shutil.copy(MODEL, folder)
        shutil.copy(FACE, folder)
        run_page(page, folder)


{function.__name__: function for function in (install, pkgconfig_shared, pkgconfig_static, package, subdirectory,
                                              python, headers, symbols, size, documents)}[stage]()
