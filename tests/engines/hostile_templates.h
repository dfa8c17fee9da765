// SPDX-License-Identifier: MIT
// Chat templates that a hostile model file could bring: each would end or stop the process, or take its memory, if
// nothing limited what a template may do.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::testing {

struct HostileTemplate {
  std::string name;
  std::string source;
};

namespace hostile {

inline std::string times(std::string_view text, std::size_t count) {
  std::string all;
  all.reserve(text.size() * count);
  for (std::size_t i = 0; i < count; ++i) all += text;
  return all;
}

inline constexpr std::size_t kDeep = 20'000;

}  // namespace hostile

// Nested so deep that a parser, an interpreter or a destructor which recurses has no stack left.
inline std::vector<HostileTemplate> deep_templates() {
  using hostile::kDeep;
  using hostile::times;
  return {
      {"parentheses", "{{ " + times("(", kDeep) + "1" + times(")", kDeep) + " }}"},
      {"lists", "{{ " + times("[", kDeep) + times("]", kDeep) + " }}"},
      {"objects", "{{ " + times("{1:", kDeep) + "1" + times("}", kDeep) + " }}"},
      {"blocks of if", times("{% if 1 %}", kDeep) + times("{% endif %}", kDeep)},
      {"blocks of for", times("{% for a in [1] %}", 8'000) + times("{% endfor %}", 8'000)},
      {"blocks that are not closed", times("{% if 1 %}", kDeep)},
      {"elif", "{% if 0 %}" + times("{% elif 0 %}", kDeep) + "{% endif %}"},
      {"not", "{{ " + times("not ", kDeep) + "1 }}"},
      {"minus", "{{ " + times("- ", kDeep) + "1 }}"},
      {"ternaries", "{{ " + times("1 if 0 else ", kDeep) + "1 }}"},
      {"filters", "{{ 1" + times("|string", kDeep) + " }}"},
      {"sums", "{{ 1" + times("+1", 100'000) + " }}"},
      {"attributes", "{{ a" + times(".b", 100'000) + " }}"},
      {"tests", "{{ 1" + times(" is odd", kDeep) + " }}"},
      {"calls", "{{ a" + times("()", 100'000) + " }}"},
      {"concatenations", "{{ 'a'" + times("~'a'", 50'000) + " }}"},
      {"logic", "{{ 1" + times(" and 1", 30'000) + " }}"},
      {"slices", "{{ 'a'" + times("[0:]", 50'000) + " }}"},
  };
}

// Without an end, or so long that nobody would wait for it.
inline std::vector<HostileTemplate> endless_templates() {
  return {
      {"loop in a loop", "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}"},
      {"loop that makes nothing", "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}"},
      {"range", "{{ range(10000000000)|length }}"},
      {"range to the largest number",
       "{{ range(9223372036854775806, 9223372036854775807, 2)|length }}{% for a in "
       "range(-9223372036854775807, 9223372036854775807) %}{% endfor %}"},
      {"recursion", "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}"},
      {"two recursions",
       "{% macro f(x) %}{{ g(x) }}{{ g(x) }}{% endmacro %}{% macro g(x) %}{{ f(x) }}{{ f(x) }}{% "
       "endmacro %}{{ f(1) }}"},
      {"empty text repeated", "{{ '' * 9000000000000 }}"},
      {"quadratic split", "{{ ('a' * 30000000).split('a')|length }}"},
      {"a list looked for in itself",
       "{% set l = range(100000)|list %}{% for a in l %}{% if 'z' in l %}x{% endif %}{% endfor %}"},
      {"tuples of tuples compared", "{% set t = (1, 1) %}" + hostile::times("{% set t = (t, t) %}", 60) +
                                        "{% set u = (1, 1) %}" + hostile::times("{% set u = (u, u) %}", 60) +
                                        "{{ t == u }}"},
      {"tuples of tuples as a key",
       "{% set t = (1, 1) %}" + hostile::times("{% set t = (t, t) %}", 60) + "{{ {t: 1}|length }}"},
      {"lists of lists printed", "{% set t = [] %}" + hostile::times("{% set t = [t, t] %}", 60) + "{{ t }}"},
  };
}

// More text or values than there is memory.
inline std::vector<HostileTemplate> large_templates() {
  using hostile::times;
  return {
      {"text repeated", "{{ 'a' * 4000000000 }}"},
      {"text doubled", "{% set s = 'aaaaaaaaaaaaaaaa' %}" + times("{% set s = s ~ s %}", 60) + "{{ s }}"},
      {"list doubled", "{% set l = [1, 2, 3] %}" + times("{% set l = l + l %}", 60) + "{{ l|length }}"},
      {"indent", "{{ 'a\nb'|indent(2000000000) }}"},
      {"indent by less than nothing", "{{ 'a\nb'|indent(-1) }}{{ 'a' * 4000000000 }}"},
      {"replace", "{{ ('a' * 100000)|replace('a', 'a' * 100000) }}"},
      {"replace of nothing", "{{ ('a' * 1000000)|replace('', 'a' * 1000000) }}"},
      {"join", "{{ range(100000)|join('a' * 100000) }}"},
      {"json with an indent", "{{ [[[1]]]|tojson(indent=2000000000) }}"},
      {"json with separators", "{% set s = 'a' * 1000000 %}{{ range(100000)|list|tojson(separators=(s, s)) }}"},
      {"json of shared lists", "{% set t = ['a'] %}" + times("{% set t = [t, t] %}", 60) + "{{ t|tojson }}"},
      {"a list that holds itself", "{% set a = [] %}{% set b = a.append(a) %}{{ a }}"},
      {"a list that holds itself, as json", "{% set a = [] %}{% set b = a.append(a) %}{{ a|tojson }}"},
      {"an object that holds itself", "{% set ns = namespace() %}{% set ns.a = ns %}{{ ns|string }}"},
      {"format",
       "{% set s = 'a' * 10000000 %}{{ '" + times("{}", 50'000) + "'.format(" + times("s, ", 1'900) + "s) }}"},
      {"lists kept",
       "{% set ns = namespace(l=[]) %}{% for i in range(900) %}{% set ns.l = [range(900)|list, ns.l] %}"
       "{% endfor %}{% for i in range(900) %}{% set ns.l = [range(900)|list, ns.l] %}{% endfor %}"},
  };
}

// What once ended a process by a signal of its own.
inline std::vector<HostileTemplate> trapping_templates() {
  return {
      {"divided by zero", "{{ 1 is divisibleby 0 }}"},
      {"divided by zero as a filter", "{{ [1]|select('divisibleby', 0)|list }}"},
      {"end of a statement missing", "{% for"},
      {"end of a text missing", "{{ 'abc"},
      {"end of a comment missing", "{# abc"},
      {"a step of zero", "{{ 'abc'[::0] }}"},
      {"a range with a step of zero", "{{ range(0, 10, 0)|length }}"},
      {"an unknown operator", "{{ 1 // 0 }}"},
      {"a number too large to read", "{{ 99999999999999999999999999 }}"},
      {"a time too long to print", "{{ strftime_now('%Y' * 1000) }}"},
  };
}

}  // namespace bulkhead::testing
