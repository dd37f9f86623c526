# The libraries. Each folder of lib/ is a room; a file put into a room belongs to it. lib/README.md draws the floors.

function(facekp_room variable)
    set(sources)
    foreach(folder ${ARGN})
        file(GLOB files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/lib/${folder}/*.c)
        list(APPEND sources ${files})
    endforeach()
    set(${variable} ${sources} PARENT_SCOPE)
endfunction()

function(facekp_object_settings target)
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/lib ${PROJECT_SOURCE_DIR}/include)
    target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:facekp_warnings>)
    target_compile_options(${target} PRIVATE -fno-math-errno -ffp-contract=off)
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON C_VISIBILITY_PRESET hidden)
endfunction()

# One object library per instruction set from the one source of a simd folder.
function(facekp_add_simd objects_variable prefix folder)
    facekp_room(sources ${folder})
    set(objects)
    if(NOT sources)
        set(${objects_variable} "" PARENT_SCOPE)
        return()
    endif()
    foreach(isa ${facekp_isas})
        add_library(${prefix}_${isa} OBJECT ${sources})
        facekp_object_settings(${prefix}_${isa})
        target_compile_options(${prefix}_${isa} PRIVATE ${facekp_flags_${isa}} -O3)
        target_compile_definitions(${prefix}_${isa} PRIVATE FKP_SIMD=${isa} FKP_SIMD_${isa}=1)
        list(APPEND objects $<TARGET_OBJECTS:${prefix}_${isa}>)
    endforeach()
    set(${objects_variable} ${objects} PARENT_SCOPE)
endfunction()

facekp_add_simd(facekp_simd_objects facekp_simd kernels/simd)

facekp_room(core_sources base kernels kernels/reference operators graph networks weights image decode)
add_library(facekp_core OBJECT ${core_sources})
facekp_object_settings(facekp_core)
target_link_libraries(facekp_core PRIVATE PNG::PNG ZLIB::ZLIB Threads::Threads)
set(facekp_core_objects $<TARGET_OBJECTS:facekp_core> ${facekp_simd_objects})

facekp_room(api_sources facekp)

# Shared and static of one library: name, symbol map, sources…
function(facekp_add_library name map)
    foreach(kind SHARED STATIC)
        string(TOLOWER ${kind} suffix)
        add_library(${name}_${suffix} ${kind} ${ARGN})
        facekp_object_settings(${name}_${suffix})
        target_include_directories(${name}_${suffix} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                                                            $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    endforeach()
    set_target_properties(${name}_shared PROPERTIES VERSION ${facekp_abi}.${PROJECT_VERSION_MINOR}.${PROJECT_VERSION_PATCH}
                          SOVERSION ${facekp_abi} LINK_DEPENDS ${map})
    target_link_options(${name}_shared PRIVATE LINKER:--version-script=${map} LINKER:--no-undefined LINKER:--gc-sections)
endfunction()

facekp_add_library(facekp ${PROJECT_SOURCE_DIR}/lib/facekp/facekp.map ${api_sources} ${facekp_core_objects})
set_target_properties(facekp_shared facekp_static PROPERTIES OUTPUT_NAME facekp)
target_link_libraries(facekp_shared PRIVATE PNG::PNG ZLIB::ZLIB Threads::Threads m)
target_link_libraries(facekp_static PRIVATE PNG::PNG ZLIB::ZLIB Threads::Threads m)
add_library(facekp::facekp ALIAS facekp_shared)
add_library(facekp::facekp_static ALIAS facekp_static)

if(FACEKP_TRAIN)
    find_library(FACEKP_OPENBLAS openblas REQUIRED)
    find_path(FACEKP_OPENBLAS_INCLUDE cblas.h PATH_SUFFIXES openblas openblas-pthread
              HINTS /usr/include/${CMAKE_LIBRARY_ARCHITECTURE} REQUIRED)
    facekp_add_simd(train_simd_objects facekp_train_simd train/kernels/simd)
    facekp_room(train_sources train train/layers train/kernels train/data train/plot)
    # The shared library carries the core again, hidden: the seam to libfacekp is its public functions alone.
    facekp_add_library(facekp_train ${PROJECT_SOURCE_DIR}/lib/train/facekp-train.map ${train_sources} ${train_simd_objects})
    target_sources(facekp_train_shared PRIVATE ${facekp_core_objects})
    set_target_properties(facekp_train_shared facekp_train_static PROPERTIES OUTPUT_NAME facekp-train)
    foreach(kind shared static)
        target_include_directories(facekp_train_${kind} PRIVATE ${FACEKP_OPENBLAS_INCLUDE})
        target_link_libraries(facekp_train_${kind} PUBLIC facekp_${kind}
                              PRIVATE ${FACEKP_OPENBLAS} PNG::PNG ZLIB::ZLIB Threads::Threads m)
    endforeach()
    add_library(facekp::train ALIAS facekp_train_shared)
    add_library(facekp::train_static ALIAS facekp_train_static)
endif()
