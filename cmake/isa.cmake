# The kernels of lib/kernels/simd are one source, compiled once per instruction set with that set's flags and no others.
# FKP_SIMD names the set; simd.h stops the build when the flags do not fit.
set(facekp_isas portable)
set(facekp_flags_portable "")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
    list(APPEND facekp_isas avx2 avx512)
    set(facekp_flags_avx2 -mavx2 -mfma)
    set(facekp_flags_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mprefer-vector-width=512)
    # A level on top of avx512, where the compiler knows it: lib/kernels/amx.
    check_c_compiler_flag("-mamx-tile -mamx-bf16 -mavx512bf16" FACEKP_COMPILES_AMX)
    set(facekp_flags_amx ${facekp_flags_avx512} -mamx-tile -mamx-bf16 -mavx512bf16)
endif()
