#!/usr/bin/env python3
"""The commands of the facekp tool: what they print, write and return.

    tool.py TOOL SOURCE SCRATCH
"""
import csv
import fcntl
import io
import json
import os
import pty
import shutil
import struct
import subprocess
import sys
import termios
import unittest

TOOL, SOURCE, SCRATCH = map(os.path.abspath, sys.argv[1:4])
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(SOURCE, "tests", "support"))
import model_files  # noqa: E402
import png_files  # noqa: E402

DONE, INPUT, USAGE, MODEL = 0, 1, 2, 3
TRAINS = "  train " in subprocess.run([TOOL, "--help"], stdout=subprocess.PIPE, text=True).stdout
COMMANDS = [["predict"], ["info"], ["convert"]]
if TRAINS:
    COMMANDS += [["eval"], ["synth"]] + [["plot", what] for what in ("curves", "errors", "faces", "heatmaps")]


def at(name):
    return os.path.join(SCRATCH, name)


def facekp(*arguments, expect=DONE, **environment):
    """Standard output of a run that must end with the code; standard error is in facekp.complaint."""
    result = subprocess.run([TOOL, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env=dict(os.environ, **environment), cwd=SCRATCH)
    facekp.complaint = result.stderr
    if result.returncode != expect:
        raise AssertionError("facekp %s returned %d, not %d: %s"
                             % (" ".join(map(str, arguments)), result.returncode, expect, result.stderr))
    return result.stdout


def points_of_csv(text):
    rows = list(csv.DictReader(io.StringIO(text)))
    return [[(float(row["x_%d" % i]), float(row["y_%d" % i])) for i in range(68)] for row in rows]


def points_of_pts(text):
    lines = text.split("\n")
    assert lines[:3] == ["version: 1", "n_points: 68", "{"] and lines[71] == "}", lines
    return [tuple(float(v) - 1 for v in line.split()) for line in lines[3:71]]


def farthest(a, b):
    return max(abs(p - q) for left, right in zip(a, b) for p, q in zip(left, right))


class Help(unittest.TestCase):
    def test_help_and_version(self):
        self.assertIn("predict", facekp("--help"))
        self.assertRegex(facekp("--version"), r"^facekp \d+\.\d+\.\d+\n$")
        for command in COMMANDS:
            self.assertIn("Usage: facekp " + " ".join(command), facekp(*command, "--help"))

    def test_wrong_usage(self):
        for arguments in ([], ["nonsense"], ["predict"], ["predict", "--nonsense", "a.png"], ["predict", "-x", "a.png"],
                          ["predict", "a.png", "--box", "1,2,3"], ["predict", "a.png", "--threads", "0"],
                          ["predict", "a.png", "--threads"], ["predict", "a.png", "--window", "4.5"],
                          ["predict", "a.png", "--json", "--csv"], ["predict", "a.png", "--json=1"],
                          ["predict", "a.png", "--decode", "guess"], ["convert", "one"],
                          ["convert", "--f16", "--f32", "one", "two"]):
            facekp(*arguments, expect=USAGE)
            self.assertTrue(facekp.complaint)

    def test_manual_names_every_option(self):
        with open(os.path.join(SOURCE, "docs", "facekp.1"), encoding="utf-8") as file:
            page = file.read().replace("\\-", "-")
        for command in COMMANDS:
            for line in facekp(*command, "--help").split("Options:")[1].split("\n"):
                if line.startswith("  --") and "--help" not in line:
                    self.assertIn(line.split()[0], page)


class Predict(unittest.TestCase):
    def test_csv_has_the_columns_openface_users_know(self):
        rows = list(csv.reader(io.StringIO(facekp("predict", "face.png", "--model", "dino.safetensors"))))
        names = ["file", "face_id", "confidence", "success"] + ["%s_%d" % (a, i) for a in "xy" for i in range(68)]
        self.assertEqual(rows[0], names)
        self.assertEqual(len(rows), 2)
        self.assertEqual([rows[1][0], rows[1][1], rows[1][3]], ["face.png", "0", "1"])
        self.assertTrue(0 <= float(rows[1][2]) <= 1)

    def test_formats_agree(self):
        common = ["predict", "face.png", "--model=dino.safetensors", "--box", "40,40,140,150"]
        from_csv, = points_of_csv(facekp(*common, "--csv"))
        face, = json.loads(facekp(*common, "--json"))
        self.assertEqual((face["file"], face["success"], face["box"]), ("face.png", True, [40, 40, 140, 150]))
        self.assertEqual((len(face["confidences"]), len(face["transform"])), (68, 6))
        self.assertLess(farthest(from_csv, face["points"]), 0.0015)
        self.assertLess(farthest(from_csv, points_of_pts(facekp(*common, "--pts"))), 0.0015)

    def test_output_goes_to_file_or_folder(self):
        printed = facekp("predict", "face.png", "--model", "dino.safetensors")
        self.assertEqual(facekp("predict", "face.png", "--model", "dino.safetensors", "--output", "points.csv"), "")
        with open(at("points.csv"), encoding="utf-8") as file:
            self.assertEqual(file.read(), printed)
        os.makedirs(at("pts"), exist_ok=True)
        facekp("predict", "face.png", "wide.png", "--model", "dino.safetensors", "--pts", "--output", "pts",
               "--box", "40,40,140,150", "--box", "60,50,100,100")
        self.assertEqual(sorted(os.listdir(at("pts"))), ["face-1.pts", "face.pts", "wide-1.pts", "wide.pts"])
        facekp("predict", "face.png", "--model", "dino.safetensors", "--output", "no/such/folder", expect=INPUT)

    def test_threads_do_not_change_a_digit(self):
        outputs = {facekp("predict", "face.png", "--model", "dino.safetensors", "--json", "--threads", n)
                   for n in (1, 2, 3)}
        self.assertEqual(len(outputs), 1)

    def test_measured_algorithms_find_the_same_points(self):
        common = ["predict", "face.png", "--csv", "--random", "resnet18", "--threads", "2"]
        chosen, = points_of_csv(facekp(*common))
        measured, = points_of_csv(facekp(*common, "--measure"))
        self.assertLess(farthest(chosen, measured), 0.05)

    def test_bad_inputs_do_not_stop_the_rest(self):
        text = facekp("predict", "face.png", "broken.png", "absent.png", "wide.png", "--model", "dino.safetensors",
                      expect=INPUT)
        success = [row["success"] for row in csv.DictReader(io.StringIO(text))]
        self.assertEqual(success, ["1", "0", "0", "1"])
        self.assertIn("broken.png", facekp.complaint)
        self.assertIn("absent.png", facekp.complaint)
        faces = json.loads(facekp("predict", "face.png", "--model", "dino.safetensors", "--json", "--box", "1,1,50,50",
                                  "--box", "500,500,50,50", expect=INPUT))
        self.assertEqual([face["success"] for face in faces], [True, False])
        self.assertIn("outside", faces[1]["error"])

    def test_progress_of_many_images(self):
        facekp("predict", "face.png", "wide.png", "--model", "dino.safetensors")
        self.assertIn("2/2 images", facekp.complaint)
        facekp("predict", "face.png", "--model", "dino.safetensors")
        self.assertEqual(facekp.complaint, "")

    def test_models(self):
        facekp("predict", "face.png", "--model", "absent.safetensors", expect=MODEL)
        facekp("predict", "face.png", "--model", "face.png", expect=MODEL)
        named = facekp("predict", "face.png", FACEKP_MODEL="dino.safetensors")
        self.assertEqual(named, facekp("predict", "face.png", "--model", "dino.safetensors"))
        random = [facekp("predict", "face.png", "--random", "resnet18", "--seed", seed) for seed in (1, 1, 2)]
        self.assertEqual(random[0], random[1])
        self.assertNotEqual(random[0], random[2])

    def test_overlay_is_the_enlarged_picture_with_points(self):
        facekp("predict", "face.png", "--model", "dino.safetensors", "--box", "60,40,104,150", "--out", "overlay.png")
        width, height, channels, rows = png_files.read_png(at("overlay.png"))
        self.assertEqual((width, height, channels), (672, 672, 3))
        red = sum(row[i] > 200 and row[i + 1] < 120 for row in rows for i in range(0, 3 * width, 3))
        self.assertGreater(red, 68)
        facekp("predict", "face.png", "wide.png", "--model", "dino.safetensors", "--out", "overlays")
        self.assertEqual(sorted(os.listdir(at("overlays"))), ["face.png", "wide.png"])

    def test_heatmaps_and_their_decoding(self):
        common = ["predict", "face.png", "--model", "unet.safetensors"]
        facekp(*common, "--heatmaps", "maps")
        self.assertEqual(sorted(os.listdir(at("maps"))),
                         sorted(["face-%02d.png" % i for i in range(68)] + ["face-sum.png"]))
        self.assertEqual(png_files.read_png(at("maps/face-sum.png"))[:3], (224, 224, 3))
        coarse, = points_of_csv(facekp(*common, "--decode", "argmax"))
        fine, = points_of_csv(facekp(*common, "--decode", "soft-argmax", "--window", "3"))
        self.assertEqual(points_of_csv(facekp(*common, "--decode", "argmax"))[0], coarse)
        self.assertTrue(0 < farthest(coarse, fine) <= 1.01)
        facekp("predict", "face.png", "--model", "dino.safetensors", "--heatmaps", "none", expect=USAGE)

    def test_label_bias_is_taken_out_unless_kept(self):
        clean, = points_of_csv(facekp("predict", "face.png", "--model", "biased.safetensors"))
        kept, = points_of_csv(facekp("predict", "face.png", "--model", "biased.safetensors", "--keep-bias"))
        plain, = points_of_csv(facekp("predict", "face.png", "--model", "dino.safetensors"))
        self.assertEqual(kept, plain)
        scale = 224 / 250  # image pixels in one of the crop
        for (x, y), (kept_x, kept_y) in zip(clean, kept):
            self.assertAlmostEqual(kept_x - x, 2.0 * scale, delta=0.002)
            self.assertAlmostEqual(kept_y - y, 1.5 * scale, delta=0.002)


class Info(unittest.TestCase):
    def test_resnet18(self):
        info = json.loads(facekp("info", "--random", "resnet18", "--json"))
        self.assertEqual((info["architecture"], info["keypoints"], info["parameters"]), ("resnet18", 68, 11240008))
        self.assertEqual(sum(layer["parameters"] for layer in info["layers"]), info["parameters"])
        self.assertEqual(sum(layer["multiply_adds"] for layer in info["layers"]), info["multiply_adds"])
        self.assertEqual(info["layers"][0]["output"], [64, 112, 112])

    def test_text_tells_the_licence(self):
        self.assertIn("public domain", facekp("info", "biased.safetensors"))
        self.assertIn("does not say", facekp("info", "dino.safetensors"))
        facekp("info", "absent.safetensors", expect=MODEL)


class Convert(unittest.TestCase):
    def test_half_floats_halve_the_file_and_hardly_move_a_point(self):
        before, = points_of_csv(facekp("predict", "face.png", "--model", "dino.safetensors"))
        for dtype in ("f16", "bf16"):
            name = "half-%s.safetensors" % dtype
            facekp("convert", "dino.safetensors", name, "--" + dtype)
            self.assertLess(os.path.getsize(at(name)), 0.51 * os.path.getsize(at("dino.safetensors")))
            after, = points_of_csv(facekp("predict", "face.png", "--model", name))
            self.assertTrue(0 < farthest(before, after) < 10)
            self.assertEqual(json.loads(facekp("info", name, "--json"))["precision"], dtype.upper())
        facekp("convert", "dino.safetensors", "same.safetensors")
        self.assertEqual(points_of_csv(facekp("predict", "face.png", "--model", "same.safetensors"))[0], before)

    def test_metadata_survives(self):
        facekp("convert", "biased.safetensors", "kept.safetensors", "--f16")
        info = json.loads(facekp("info", "kept.safetensors", "--json"))
        self.assertEqual((info["license"], info["label_bias_px"]), ("public domain", [2, 1.5]))

    def test_failures(self):
        facekp("convert", "face.png", "out.safetensors", expect=MODEL)
        self.assertFalse(os.path.exists(at("out.safetensors")))
        facekp("convert", "dino.safetensors", "no/such/folder/out.safetensors", expect=INPUT)


@unittest.skipUnless(TRAINS, "built without libfacekp-train")
class Training(unittest.TestCase):
    """From rendered faces to a measured model and its pictures, with a network of seconds."""

    @classmethod
    def setUpClass(cls):
        facekp("synth", "--count", 12, "--size", 64, "faces")
        cls.trained = facekp("train", "--architecture", "dino", "--dimension", 64, "--depth", 1, "--heads", 1,
                             "--input-size", 32, "--train-csv", "faces/faces.csv", "--epochs", 2, "--batch", 4,
                             "--epoch-log", "log.csv", "--output", "trained.safetensors")

    def measure(self, *options):
        return facekp("eval", "--model", "trained.safetensors", "--csv", "faces/faces.csv", *options)

    def test_faces_are_rendered_in_the_data_format(self):
        with open(at("faces/faces.csv"), encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(len(rows), 12)
        self.assertEqual(len(os.listdir(at("faces/faces"))), 12)
        for row in rows:
            self.assertEqual(png_files.read_png(at("faces/faces/" + row["image"]))[:3], (64, 64, 1))
            self.assertTrue(all(0 < float(row["x%d" % i]) < 64 for i in range(68)))
        facekp("synth", "--size", 31, "none", expect=USAGE)
        facekp("synth", "dino.safetensors", expect=INPUT)

    def test_held_out_faces_measure_as_in_the_training(self):
        with open(at("log.csv"), encoding="utf-8") as file:
            best = min(float(row["validation_mse"]) for row in csv.DictReader(file))
        report = json.loads(self.measure("--split", "person", "--json"))
        self.assertEqual(report["faces"], 1)
        self.assertAlmostEqual(report["mse"], best, delta=1e-4 * best)

    def test_reports(self):
        self.assertEqual(self.measure(), self.measure("--text", "--threads", 1))
        self.assertRegex(self.measure(), r"(?m)^faces +12$")
        rows = list(csv.DictReader(io.StringIO(self.measure("--csv-out"))))
        self.assertEqual([row["what"] for row in rows],
                         ["all", "jaw", "brows", "nose", "eyes", "mouth"] + [str(i) for i in range(68)])
        report = json.loads(self.measure("--json"))
        self.assertEqual(len(report["points"]), 68)
        self.assertAlmostEqual(report["mse"], float(rows[0]["mse"]), delta=1e-6)
        self.assertNotEqual(json.loads(self.measure("--json", "--flip"))["mse"], report["mse"])
        self.assertEqual(self.measure("--json", "--output", "report.json"), "")
        with open(at("report.json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file), report)

    def test_settings_from_file_and_switches(self):
        with open(at("small.conf"), "w", encoding="utf-8") as file:
            file.write("# a comment\n\n  recipe = direct\ninput-size=64\n train_csv = faces/faces.csv \r\n"
                       "epochs = 1\nbatch = 7\n")
        common = ["small.conf", "--checkpoint", "switch.ckpt", "--batch=4"]
        self.assertIn("for a batch of 4", facekp("train", *common, "--random-crop", "--resume"))
        self.assertNotIn("epoch 1/1", facekp("train", *common, "--resume"))  # there is nothing left to do
        self.assertNotIn("epoch 1/1", facekp("train", *common, "--resume", "1"))
        self.assertIn("epoch 1/1", facekp("train", *common, "--resume", "0"))
        facekp("train", *common, "--resume", "--seed", 9, expect=INPUT)
        self.assertIn("seed = 9", facekp.complaint)
        facekp("train", "small.conf", "--resume", expect=INPUT)
        self.assertIn("checkpoint", facekp.complaint)
        for text, word in (("epochs 3\n", "wrong.conf:1"), ("\nnonsense = 3\n", "nonsense"), ("epochs = x\n", "epochs"),
                           ("#" + 2000 * "-" + "\n", "wrong.conf:1"), ("recipe = omelette\n", "omelette")):
            with open(at("wrong.conf"), "w", encoding="utf-8") as file:
                file.write(text)
            facekp("train", "wrong.conf", expect=USAGE)
            self.assertIn(word, facekp.complaint)
        facekp("train", "absent.conf", expect=USAGE)
        facekp("train", ".", expect=USAGE)
        facekp("train", "small.conf", "--epochs", expect=USAGE)

    def test_bad_rows_are_told_by_line_and_skipped_by_choice(self):
        with open(at("faces/faces.csv"), encoding="utf-8") as file:
            lines = file.read().splitlines()
        lines[3] = lines[3].replace(",", ",x", 1)
        lines[5] = "absent.png" + lines[5][lines[5].index(","):]
        with open(at("bad.csv"), "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        common = ["--recipe", "direct", "--input-size", 64, "--epochs", 1, "--train-csv", "bad.csv", "--train-images",
                  "faces/faces"]
        facekp("train", *common, expect=INPUT)
        self.assertIn("bad.csv:4: x0 is", facekp.complaint)
        self.assertIn("9 faces to train on, 1 to validate on", facekp("train", *common, "--skip-bad"))
        self.assertIn("bad.csv:4: x0 is", facekp.complaint)
        self.assertIn("bad.csv:6: ", facekp.complaint)
        facekp("train", *common, "--skip-bad", "--checkpoint", "no/such/folder.ckpt", expect=INPUT)
        self.assertIn("no/such", facekp.complaint)

    def test_a_terminal_has_a_bar(self):
        for columns in (100, 40):
            master, slave = pty.openpty()
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            run = subprocess.Popen([TOOL, "train", "--recipe", "direct", "--train-csv", "faces/faces.csv", "--split", "none",
                                    "--batch", "1", "--epochs", "3", "--threads", "1"], cwd=SCRATCH,
                                   stdout=subprocess.DEVNULL, stderr=slave)
            os.close(slave)
            shown = b""
            try:
                while part := os.read(master, 4096):
                    shown += part
            except OSError:  # the other side is closed
                pass
            os.close(master)
            self.assertEqual(run.wait(), DONE)
            lines = [line.rstrip() for line in shown.decode().split("\r") if line.strip()]
            self.assertTrue(lines)
            self.assertLess(max(map(len, lines)), columns)
            if columns == 100:
                self.assertRegex(lines[0], r"^\[#*\.*\] \d+/12 images  [\d.]+/s  ETA [\d:]+  epoch \d/3  loss [\d.]+  all in")

    def test_failures(self):
        facekp("eval", "--model", "trained.safetensors", expect=USAGE)
        facekp("eval", "--json", "--csv-out", "--csv", "faces/faces.csv", expect=USAGE)
        facekp("eval", "--model", "absent.safetensors", "--csv", "faces/faces.csv", expect=MODEL)
        facekp("eval", "--model", "trained.safetensors", "--csv", "absent.csv", expect=INPUT)
        facekp("plot", expect=USAGE)
        facekp("plot", "nonsense", expect=USAGE)
        facekp("plot", "curves", "absent.csv", expect=INPUT)
        facekp("plot", "heatmaps", "trained.safetensors", "--csv", "faces/faces.csv", expect=INPUT)
        self.assertIn("heatmaps", facekp.complaint)

    def test_pictures(self):
        faces = ["--csv", "faces/faces.csv"]
        facekp("plot", "curves", "log.csv", "--columns", "train_mse,validation_mse", "--log-scale")
        facekp("plot", "errors", "trained.safetensors", "dino.safetensors", *faces)
        facekp("plot", "faces", "trained.safetensors", *faces, "--choose", "worst", "--count", 5, "--columns", 2)
        facekp("plot", "heatmaps", "unet.safetensors", *faces, "--face", 3, "--count", 2)
        facekp("plot", "heatmaps", "unet.safetensors", *faces, "--sum", "--out", "sum.png")
        for name, least_width, least_height in (("curves", 640, 400), ("errors", 640, 400), ("faces", 448, 672),
                                                ("heatmaps", 448, 448), ("sum", 672, 224)):
            width, height, channels, rows = png_files.read_png(at(name + ".png"))
            self.assertEqual(channels, 3)
            self.assertGreaterEqual((width, height), (least_width, least_height))
            self.assertGreater(len({tuple(row[i:i + 3]) for row in rows for i in range(0, 3 * width, 3)}), 4)

    def test_the_model_that_comes_with_the_tool_finds_rendered_faces(self):
        facekp("synth", "--count", 12, "--seed", 7, "rendered")
        report = json.loads(facekp("eval", "--csv", "rendered/faces.csv", "--json"))
        self.assertLess(report["nme"], 0.06)
        self.assertEqual(report["failure_rate"], 0)


def make_files():
    shutil.rmtree(SCRATCH, ignore_errors=True)
    os.makedirs(SCRATCH)
    tensors, metadata = model_files.dino()
    model_files.write_safetensors(at("dino.safetensors"), tensors, metadata)
    metadata = dict(metadata, label_bias_px="2.0,1.5", license="public domain")
    model_files.write_safetensors(at("biased.safetensors"), tensors, metadata)
    model_files.write_safetensors(at("unet.safetensors"), *model_files.unet())
    png_files.write_png(at("face.png"), 224, 224, png_files.face_like)
    png_files.write_png(at("wide.png"), 320, 240, png_files.face_like)
    with open(at("broken.png"), "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\nand then nothing")


if __name__ == "__main__":
    os.environ.pop("FACEKP_MODEL", None)
    make_files()
    unittest.main(argv=sys.argv[:1], verbosity=2)
