# Installs headers, both kinds of each library, the tool, pkg-config files and the CMake package. Shared and static
# targets are exported to files of their own, so that a distribution may ship them apart.
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/facekp)
set(installed_libraries facekp)
install(FILES include/facekp/version.h include/facekp/facekp.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/facekp)
if(FACEKP_TRAIN)
    list(APPEND installed_libraries facekp_train)
    install(FILES include/facekp/train.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/facekp)
endif()

set_target_properties(facekp_shared PROPERTIES EXPORT_NAME facekp)
set_target_properties(facekp_static PROPERTIES EXPORT_NAME facekp_static)
if(FACEKP_TRAIN)
    set_target_properties(facekp_train_shared PROPERTIES EXPORT_NAME train)
    set_target_properties(facekp_train_static PROPERTIES EXPORT_NAME train_static)
endif()
foreach(kind shared static)
    foreach(library ${installed_libraries})
        install(TARGETS ${library}_${kind} EXPORT facekp_${kind}
                ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
                RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    endforeach()
    install(EXPORT facekp_${kind} FILE facekp-${kind}.cmake NAMESPACE facekp:: DESTINATION ${package_folder})
endforeach()

configure_package_config_file(cmake/facekpConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/facekpConfig.cmake
                              INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/facekpConfigVersion.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/facekpConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/facekpConfigVersion.cmake
        DESTINATION ${package_folder})

if(TARGET facekp_tool)
    install(TARGETS facekp_tool RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    install(FILES docs/facekp.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
    install(DIRECTORY examples/models/ DESTINATION ${CMAKE_INSTALL_DATADIR}/facekp/models OPTIONAL)
endif()

# From the folder of the .pc file up to the prefix, so that the tree can be moved.
file(RELATIVE_PATH pc_to_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
set(pc_files facekp)
if(FACEKP_TRAIN)
    list(APPEND pc_files facekp-train)
endif()
foreach(name ${pc_files})
    configure_file(pkgconfig/${name}.pc.in ${CMAKE_CURRENT_BINARY_DIR}/${name}.pc @ONLY)
    install(FILES ${CMAKE_CURRENT_BINARY_DIR}/${name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()
