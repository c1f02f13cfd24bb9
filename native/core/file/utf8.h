#pragma once

#include <string_view>

namespace shortlist {

// Whether Python can make a str of these bytes: well-formed UTF-8 (RFC 3629), no surrogates.
bool is_utf8(std::string_view text);

}  // namespace shortlist
