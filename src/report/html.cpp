// SPDX-License-Identifier: MIT
#include "report/html.h"

#include "base/hash.h"
#include "embedded/report_assets.h"
#include "report/evaluation_document.h"
#include "report/evaluation_verdict.h"
#include "report/html_text.h"
#include "report/marks.h"
#include "report/results.h"
#include "report/view.h"

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace bulkhead::report {
namespace {

Result<std::string> asset(std::string_view name) {
  for (const auto& file : embedded::report_assets()) {
    if (file.name == name) return std::string(file.content);
  }
  return Error{ErrorCode::kInternal, fmt::format("the report asset {} was not compiled in", name), {}, {}};
}

Result<std::string> library(std::string_view script, std::string_view licence) {
  BH_TRY(const auto terms, asset(licence));
  BH_TRY(const auto code, asset(script));
  return fmt::format("/*!\n{}*/\n{}", terms, code);
}

unsigned int hex_digit(char digit) {
  return static_cast<unsigned int>(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

// The form in which a content security policy names a script: base64 of its SHA-256.
std::string policy_hash(std::string_view script) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const std::string hex = sha256_hex(script);
  std::string out = "'sha256-";
  for (std::size_t at = 0; at < hex.size(); at += 6) {
    // Three bytes (six hex digits) become four base64 digits; the last group has two bytes.
    const std::string group = hex.substr(at, 6);
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < 6; ++i) bits = (bits << 4U) | (i < group.size() ? hex_digit(group[i]) : 0U);
    const std::size_t digits = group.size() == 6 ? 4 : 3;
    for (std::size_t i = 0; i < 4; ++i) out += i < digits ? kDigits[(bits >> (18U - (6U * i))) & 63U] : '=';
  }
  return out + "'";
}

// JSON that can neither end its script element nor open a comment in it.
std::string script_data(const Json& page) {
  std::string out;
  for (const char byte : json_text(page)) {
    if (byte == '<') {
      out += "\\u003c";
    } else {
      out += byte;
    }
  }
  return out;
}

// The results with every output's text replaced by its marked pieces: [text], [text, "own", cluster] or [text,
// "foreign", cluster].
Json with_marked_texts(const Json& results) {
  Json page = results;
  for (auto& run : page["runs"]) {
    for (auto& condition : run["conditions"]) {
      for (auto& output : condition["outputs"]) {
        Json segments = Json::array();
        for (const auto& segment : marked_text(output, member(run, "scenario"))) {
          Json entry = Json::array({segment.text});
          if (segment.mark != Mark::kPlain) {
            entry.push_back(segment.mark == Mark::kOwn ? "own" : "foreign");
            entry.push_back(segment.cluster);
          }
          segments.push_back(std::move(entry));
        }
        output.erase("text");
        output.erase("token_ids");
        output["segments"] = std::move(segments);
      }
    }
  }
  return page;
}

// The summary with its sentences: "verdicts" [{claim, outcome, sentence}], "reservations", and "words" of endpoints.
Json with_verdicts(const Json& evaluation) {
  Json page = evaluation;
  page["verdicts"] = Json::array();
  for (const auto& one : verdicts_of(evaluation)) {
    page["verdicts"].push_back({{"claim", one.claim}, {"outcome", one.outcome}, {"sentence", one.sentence}});
  }
  page["reservations"] = reservations_of(evaluation);
  page["words"] = Json::object();
  for (const auto& one : endpoint_words_of(evaluation)) {
    page["words"][one.name] = {{"title", one.title}, {"about", one.about}, {"share", one.share}, {"unit", one.unit}};
  }
  return page;
}

// Replaces each {{name}} of the template once; what is put in is not searched again.
Result<std::string> filled(std::string_view page, const std::map<std::string_view, std::string>& values) {
  std::string out;
  while (true) {
    const auto begin = page.find("{{");
    const auto end = page.find("}}", begin);
    if (begin == std::string_view::npos || end == std::string_view::npos) break;
    const auto name = page.substr(begin + 2, end - begin - 2);
    const auto found = values.find(name);
    if (found == values.end()) {
      return Error{ErrorCode::kInternal, fmt::format("report.html asks for {}, which nobody gives", name), {}, {}};
    }
    out += page.substr(0, begin);
    out += found->second;
    page.remove_prefix(end + 2);
  }
  return out.append(page);
}

using Scripts = std::span<const std::string_view>;
constexpr std::array<std::string_view, 4> kRunScripts = {"charts", "elements", "overview", "report"};
constexpr std::array<std::string_view, 4> kEvaluationScripts = {"charts", "elements", "evaluation_charts",
                                                                "evaluation"};

// `scripts`: assets of ours, in the order in which they run, after D3 and Plot.
Result<std::vector<std::string>> bodies_of(Scripts scripts) {
  std::vector<std::string> bodies(2);
  BH_TRY(bodies[0], library("d3.min.js", "d3.license.txt"));
  BH_TRY(bodies[1], library("plot.umd.min.js", "plot.license.txt"));
  for (const auto name : scripts) {
    BH_TRY(auto body, asset(fmt::format("{}.js", name)));
    bodies.push_back(std::move(body));
  }
  return bodies;
}

std::string sources_of(const std::vector<std::string>& bodies) {
  std::string sources;
  for (const auto& body : bodies) sources += (sources.empty() ? "" : " ") + policy_hash(body);
  return sources;
}

Result<std::string> page_of(std::string_view heading, const std::string& title, const Json& data, Scripts scripts) {
  BH_TRY(const auto page, asset("report.html"));
  BH_TRY(const auto style, asset("report.css"));
  BH_TRY(const auto bodies, bodies_of(scripts));
  // Plot writes style elements and attributes of its own, hence 'unsafe-inline' for styles; they can load nothing.
  const auto policy =
      "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'unsafe-inline'; script-src " +
      sources_of(bodies);
  std::string elements;
  for (const auto& body : bodies) elements += fmt::format("<script>{}</script>\n", body);
  return filled(page, {{"heading", std::string(heading)},
                       {"title", html_escaped(title)},
                       {"style", style},
                       {"data", script_data(data)},
                       {"scripts", elements},
                       {"policy", policy}});
}

}  // namespace

Result<std::string> to_html(const Json& results) {
  BH_CHECK(check_results(results));
  return page_of("Bulkhead report", text(member(results, "model"), "name"), with_marked_texts(results), kRunScripts);
}

Result<std::string> script_sources() {
  BH_TRY(const auto bodies, bodies_of(kRunScripts));
  return sources_of(bodies);
}

Result<std::string> evaluation_html(const Json& evaluation) {
  BH_CHECK(check_evaluation(evaluation));
  return page_of("Bulkhead evaluation", text(member(member(evaluation, "made"), "model"), "name"),
                 with_verdicts(evaluation), kEvaluationScripts);
}

}  // namespace bulkhead::report
