// Prints the keypoints of a face crop: predict MODEL.safetensors FACE.png
#include <cstdio>

#include "facekp.hpp"

int main(int argc, char **argv) try {
    if (argc != 3) throw std::invalid_argument("usage: predict MODEL.safetensors FACE.png");
    const facekp::model model(argv[1]);
    facekp::session session(model, FACEKP_THREADS_ALL);
    const facekp::picture picture(argv[2]);
    for (const facekp::face &face : session.predict(picture.image()))
        for (const facekp::point &point : face.points) std::printf("%.2f %.2f\n", point.x, point.y);
    return 0;
} catch (const std::exception &failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
}
