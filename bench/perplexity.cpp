// SPDX-License-Identifier: MIT
// Do our kernels cost accuracy? Perplexity of a text with our kernels and with ggml's, window by window, and a 95 %
// interval of the ratio from the paired windows.
//   bulkhead_bench_perplexity -m MODEL ... --text FILE ... [--window 512] [--exact GGUF]
// --exact: the model's own weights as floats (`bulkhead convert`), multiplied by ggml with nothing rounded to eight
// bits: which of the two is nearer to that? One line of JSON for each model.
#include "base/json.h"
#include "engines/builtin.h"
#include "measure/machine.h"
#include "models/model_files.h"

#include <bulkhead/version.h>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <cmath>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <vector>

namespace bulkhead::bench {
namespace {

using engine::Engine;
using engine::Token;

struct Flags {
  std::vector<std::string> models;
  std::vector<std::string> texts;
  std::string exact;
  std::uint32_t window = 512;
};

// A perplexity over another one.
struct Ratio {
  double value = 1;
  double low = 1;  // 95 % interval
  double high = 1;
};

Result<std::unique_ptr<Engine>> load(const std::string& path, const std::string& kernels, std::uint32_t window) {
  ModelOptions options;
  options.path = path;
  options.kernels = kernels;
  options.context_tokens = window;
  return engines::builtin_engines().make(options);
}

// Sum of the negative log probabilities of all tokens but the first.
Result<double> loss_of(Engine& engine, std::span<const Token> window) {
  BH_TRY(const auto sequence, engine.open({.capacity_tokens = static_cast<std::uint32_t>(window.size())}));
  BH_TRY([[maybe_unused]] const auto done, engine.prefill(sequence, window.first(1)));
  BH_TRY(const auto scores, engine.score(sequence, window.subspan(1)));
  BH_CHECK(engine.close(sequence));
  return -std::accumulate(scores.begin(), scores.end(), 0.0);
}

Result<std::vector<double>> losses(const std::string& path, const std::string& kernels,
                                   const std::vector<std::vector<Token>>& windows) {
  BH_TRY(const auto engine, load(path, kernels, static_cast<std::uint32_t>(windows.front().size())));
  std::vector<double> all;
  for (std::size_t i = 0; i < windows.size(); ++i) {
    BH_TRY(const double loss, loss_of(*engine, windows[i]));
    all.push_back(loss);
    if (i % 20 == 0) fmt::print(stderr, "{}: window {} of {}\n", kernels, i + 1, windows.size());
  }
  return all;
}

Result<std::vector<std::vector<Token>>> windows_of(const Engine& engine, const std::string& text, std::uint32_t size) {
  BH_TRY(const auto tokens, engine.tokenizer().tokenize(text));
  std::vector<std::vector<Token>> windows;
  const auto bos = engine.tokenizer().bos();
  const std::size_t own = size - (bos ? 1 : 0);
  for (std::size_t begin = 0; begin + own <= tokens.size(); begin += own) {
    std::vector<Token> window;
    if (bos) window.push_back(*bos);
    const auto first = tokens.begin() + static_cast<std::ptrdiff_t>(begin);
    window.insert(window.end(), first, first + static_cast<std::ptrdiff_t>(own));
    windows.push_back(std::move(window));
  }
  if (windows.size() < 2) return Error{ErrorCode::kBadInput, "the text is shorter than two windows", "--text", {}};
  return windows;
}

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// From paired windows of `each` scored tokens.
Ratio ratio_of(const std::vector<double>& one, const std::vector<double>& other, double each) {
  std::vector<double> differences;
  for (std::size_t i = 0; i < one.size(); ++i) differences.push_back((one[i] - other[i]) / each);
  const double middle = mean(differences);
  double squares = 0;
  for (const double difference : differences) squares += (difference - middle) * (difference - middle);
  const auto count = static_cast<double>(differences.size());
  const double half = 1.96 * std::sqrt(squares / (count - 1) / count);
  return {std::exp(middle), std::exp(middle - half), std::exp(middle + half)};
}

void add_ratio(Json& to, const std::string& name, const Ratio& ratio) {
  to[name] = ratio.value;
  to[name + "_interval"] = {ratio.low, ratio.high};
}

Result<Json> compare(const std::string& name, const std::string& text, const Flags& flags) {
  BH_TRY(const auto path, models::find_model(name, models::Environment::from_process()));
  BH_TRY(const auto sha256, models::model_sha256(path.string()));
  BH_TRY(const auto engine, load(path.string(), "bulkhead", flags.window));
  BH_TRY(const auto windows, windows_of(*engine, text, flags.window));
  BH_TRY(const auto ours, losses(path.string(), "bulkhead", windows));
  BH_TRY(const auto stock, losses(path.string(), "stock", windows));
  const auto each = static_cast<double>(flags.window - 1);
  Json found{{"model", name},
             {"model_sha256", sha256},
             {"kernels", engine->facts().kernels},
             {"cpu", measure::this_machine().cpu},
             {"text_bytes", text.size()},
             {"windows", windows.size()},
             {"window_tokens", flags.window},
             {"perplexity", std::exp(mean(ours) / each)},
             {"perplexity_stock", std::exp(mean(stock) / each)}};
  add_ratio(found, "ratio", ratio_of(ours, stock, each));
  if (flags.exact.empty()) return found;
  BH_TRY(const auto exact, losses(flags.exact, "stock", windows));
  found["perplexity_exact"] = std::exp(mean(exact) / each);
  add_ratio(found, "ratio_to_exact", ratio_of(ours, exact, each));
  add_ratio(found, "stock_ratio_to_exact", ratio_of(stock, exact, each));
  return found;
}

int perplexity(int argc, char** argv) {
  Flags flags;
  CLI::App program("Perplexity with our kernels and with ggml's.");
  program.add_option("-m,--model", flags.models)->required();
  program.add_option("--text", flags.texts, "files, joined")->required()->check(CLI::ExistingFile);
  program.add_option("--exact", flags.exact, "the weights as floats")->check(CLI::ExistingFile);
  program.add_option("--window", flags.window)->check(CLI::Range(16, 4096))->capture_default_str();
  CLI11_PARSE(program, argc, argv);
  if (!flags.exact.empty() && flags.models.size() > 1) {
    fmt::print(stderr, "perplexity: --exact names the floats of one model, and -m names {}\n", flags.models.size());
    return exit_code(ErrorCode::kUsage);
  }
  std::string text;
  for (const auto& file : flags.texts) {
    const auto part = read_text_file(file);
    if (!part.ok()) {
      fmt::print(stderr, "perplexity: {}\n", part.error().to_string());
      return exit_code(part.error().code);
    }
    text += part.value();
  }
  for (const auto& model : flags.models) {
    const auto compared = compare(model, text, flags);
    if (!compared.ok()) {
      fmt::print(stderr, "perplexity: {}\n", compared.error().to_string());
      return exit_code(compared.error().code);
    }
    fmt::print("{}\n", json_text(compared.value()));
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace bulkhead::bench

int main(int argc, char** argv) {
  return bulkhead::bench::perplexity(argc, argv);
}
