// tests list | tests NAME-PREFIX ..: runs the cases whose names begin so, each in this process.
#include "harness.h"

int main(int argc, char** argv) {
    if (argc == 2 && !std::strcmp(argv[1], "list")) {
        for (const Case& c : cases()) std::puts(c.name);
        return 0;
    }
    int failed = 0, passed = 0;
    for (const Case& c : cases()) {
        bool wanted = false;
        for (int i = 1; i < argc; ++i) wanted |= !std::strncmp(c.name, argv[i], std::strlen(argv[i]));
        if (!wanted) continue;
        try {
            c.run();
            ++passed;
        } catch (const std::exception& e) {
            std::printf("FAILED %s: %s\n", c.name, e.what());
            ++failed;
        }
    }
    std::printf("%d passed, %d failed\n", passed, failed);
    return failed != 0 || passed == 0;
}
