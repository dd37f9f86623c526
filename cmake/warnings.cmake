# Warnings for our own files: target_link_libraries(x PRIVATE facekp_warnings).
add_library(facekp_warnings INTERFACE)
target_compile_options(facekp_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
                       $<$<BOOL:${FACEKP_WERROR}>:-Werror>)
