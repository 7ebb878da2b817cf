#include "protected.S"
