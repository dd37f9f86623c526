// libfacekp for C++17 in one file: handles that free themselves, errors as exceptions.
//
//     facekp::model model("facekp-resnet18.safetensors");
//     facekp::session session(model, FACEKP_THREADS_ALL);
//     std::vector<facekp::face> faces = session.predict(facekp::picture("face.png").image());
#pragma once

#include <facekp/facekp.h>

#include <array>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace facekp {

class error : public std::runtime_error {
  public:
    error(facekp_status status, const std::string &message)
        : std::runtime_error(message.empty() ? facekp_status_string(status) : message), status_(status) {}
    facekp_status status() const noexcept { return status_; }

  private:
    facekp_status status_;
};

namespace detail {
inline void check(facekp_status status, const std::string &message = {}) {
    if (status != FACEKP_OK) throw error(status, message);
}
template <auto Free> struct deleter {
    template <class Handle> void operator()(Handle *handle) const noexcept { Free(handle); }
};
} // namespace detail

struct point {
    float x, y;
};
struct box {
    float x, y, width, height;
};

struct face {
    std::vector<point> points; // pixels of the image
    std::vector<float> confidences;
    std::array<float, 6> transform; // crop -> image
};

class model {
  public:
    explicit model(const std::string &path, facekp_load_options options = FACEKP_LOAD_OPTIONS_INIT) {
        char message[512] = "";
        options.message = message;
        options.message_size = sizeof message;
        facekp_model *handle = nullptr;
        detail::check(facekp_model_load(path.c_str(), &options, &handle), message);
        handle_.reset(handle);
    }
    facekp_model_info info() const {
        facekp_model_info info = FACEKP_MODEL_INFO_INIT;
        detail::check(facekp_model_get_info(handle_.get(), &info));
        return info;
    }
    facekp_model *get() const noexcept { return handle_.get(); }

  private:
    std::unique_ptr<facekp_model, detail::deleter<facekp_model_free>> handle_;
};

class picture {
  public:
    explicit picture(const std::string &path) {
        char message[512] = "";
        facekp_picture *handle = nullptr;
        detail::check(facekp_picture_read(path.c_str(), 1, message, sizeof message, &handle), message);
        handle_.reset(handle);
    }
    // Lent until the picture goes.
    facekp_image image() const {
        facekp_image image = FACEKP_IMAGE_INIT;
        detail::check(facekp_picture_get_image(handle_.get(), &image));
        return image;
    }

  private:
    std::unique_ptr<facekp_picture, detail::deleter<facekp_picture_free>> handle_;
};

// One thread at a time; it may outlive its model.
class session {
  public:
    explicit session(const model &model, int32_t threads = 1, int32_t batch = 1)
        : keypoints_(static_cast<std::size_t>(model.info().keypoints)) {
        facekp_session_options options = FACEKP_SESSION_OPTIONS_INIT;
        options.threads = threads;
        options.batch = batch;
        facekp_session *handle = nullptr;
        detail::check(facekp_session_open(model.get(), &options, &handle));
        handle_.reset(handle);
    }

    // The whole image, or one face for each box.
    std::vector<face> predict(const facekp_image &image, const std::vector<box> &boxes = {},
                              const facekp_predict_options &options = FACEKP_PREDICT_OPTIONS_INIT) {
        const std::size_t count = boxes.empty() ? 1 : boxes.size();
        std::vector<float> points(count * keypoints_ * 2), confidences(count * keypoints_), transforms(count * 6);
        facekp_faces faces = FACEKP_FACES_INIT;
        faces.points = points.data();
        faces.confidences = confidences.data();
        faces.transforms = transforms.data();
        const facekp_image *images[] = {&image};
        detail::check(facekp_session_predict(handle_.get(), images, 1, boxes.empty() ? nullptr : &boxes[0].x,
                                             nullptr, count, &options, &faces),
                      facekp_session_message(handle_.get()));
        std::vector<face> result(count);
        for (std::size_t i = 0; i < count; i++) {
            for (std::size_t k = i * keypoints_; k < (i + 1) * keypoints_; k++) {
                result[i].points.push_back({points[2 * k], points[2 * k + 1]});
                result[i].confidences.push_back(confidences[k]);
            }
            for (std::size_t k = 0; k < 6; k++) result[i].transform[k] = transforms[6 * i + k];
        }
        return result;
    }

  private:
    std::size_t keypoints_;
    std::unique_ptr<facekp_session, detail::deleter<facekp_session_free>> handle_;
};

} // namespace facekp
