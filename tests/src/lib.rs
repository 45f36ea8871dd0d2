//! Tests of the whole: replay, command line, end to end in namespaces, and the rules of the repository.
