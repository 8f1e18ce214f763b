"""No file of the library or the companion is part of a circle of imports; the floors are in `make lint`."""

import grimp


def test_no_file_is_part_of_a_circle():
    graph = grimp.build_graph("eecore", "companion", exclude_type_checking_imports=True, cache_dir=None)
    below = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    faces = {name for name in below if graph.find_children(name)}  # an __init__ hands on what its files make
    below = {name: found - faces for name, found in below.items() if name not in faces}
    while lowest := {name for name, found in below.items() if not found & below.keys()}:
        below = {name: found for name, found in below.items() if name not in lowest}
    assert not below
