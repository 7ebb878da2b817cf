#include "long-mode.S"
