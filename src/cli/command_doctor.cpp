// SPDX-License-Identifier: MIT
// `doctor`: what this machine has and lacks for each engine, in words that somebody can act on.
#include "base/cache_folder.h"
#include "base/console.h"
#include "base/json.h"
#include "cli/command.h"
#include "engines/llama/kernels/instruction_set.h"
#include "engines/worker/framework_engine.h"
#include "measure/machine.h"
#include "models/model_files.h"

#include <fmt/format.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace bulkhead::cli {
namespace {

namespace fs = std::filesystem;
using engines::llama::kernels::InstructionSet;

// One thing that was looked at. `advice` is empty where there is nothing to do.
struct Finding {
  std::string about;
  bool good = true;
  std::string said;
  std::string advice = {};
};

std::string gigabytes(std::uint64_t bytes) {
  return fmt::format("{:.1f} GB", static_cast<double>(bytes) / 1e9);
}

// The number behind `name` in a file of /proc; 0: there is none.
std::uint64_t proc_number(const char* file, std::string_view name) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(name)) continue;
    const auto digits = line.find_first_of("0123456789", name.size());
    return digits == std::string::npos ? 0 : std::strtoull(line.c_str() + digits, nullptr, 10);
  }
  return 0;
}

std::vector<Finding> machine_findings() {
  const auto machine = measure::this_machine();
  std::vector<Finding> findings;
  findings.push_back({"machine", true, fmt::format("{}, {} cores, {}", machine.cpu, machine.cores, machine.os)});
  const auto available = proc_number("/proc/meminfo", "MemAvailable:") * 1024;
  const bool enough = available == 0 || available > std::uint64_t{1} << 30U;
  findings.push_back({"memory", enough,
                      fmt::format("{} of {} are free", gigabytes(available), gigabytes(machine.memory_bytes)),
                      enough ? "" : "models take about as much as their file; end other programs first"});
  // Cells lie in address space that is promised before it is used.
  if (proc_number("/proc/sys/vm/overcommit_memory", "") == 2) {
    findings.push_back({"address space", false, "the system promises no more memory than it has (overcommit is 2)",
                        "sysctl vm.overcommit_memory=0, or give small contexts (-c)"});
  }
  return findings;
}

// What a processor of this kind may have, best first.
std::vector<InstructionSet> known_sets() {
#if defined(__aarch64__)
  return {InstructionSet::kI8mm, InstructionSet::kNeon, InstructionSet::kScalar};
#else
  return {InstructionSet::kAvx512, InstructionSet::kAvxVnni, InstructionSet::kAvx2, InstructionSet::kScalar};
#endif
}

Finding kernel_finding() {
  const auto here = engines::llama::kernels::available();
  const auto best = here.front();
  std::string lacks;
  for (const auto set : known_sets()) {
    if (set == best) break;
    lacks += fmt::format("{}{}", lacks.empty() ? "" : ", ", engines::llama::kernels::name(set));
  }
  auto said = fmt::format("{} run; {}", engines::llama::kernels::name(best),
                          lacks.empty() ? "there are none better" : "faster ones need " + lacks);
  if (best == InstructionSet::kScalar) {
    return {"kernels", false, std::move(said), "ggml's are used by default: strict isolation needs --kernels bulkhead"};
  }
  return {"kernels", true, std::move(said)};
}

Finding gpu_finding() {
  std::error_code ignored;
  if (!fs::exists("/dev/nvidia0", ignored)) return {"GPU", true, "none is needed, and none is here"};
  return {"GPU", true, "one is here and is not used: strict isolation is on the CPU",
          "layers go there with --gpu-layers where ggml was built for it; isolation is not strict then"};
}

Finding framework_finding(const std::string& engine) {
  const auto command = engines::worker::framework_command(engine + "_worker");
  if (!command.ok()) return {"engine " + engine, false, command.error().message, command.error().advice};
  return {"engine " + engine, true, "its workers are installed"};
}

std::uint64_t bytes_below(const fs::path& folder) {
  std::uint64_t bytes = 0;
  std::error_code error;
  const auto options = fs::directory_options::skip_permission_denied;
  for (auto entry = fs::recursive_directory_iterator(folder, options, error);
       !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    std::error_code unknown;
    if (entry->is_symlink(unknown) || !entry->is_regular_file(unknown)) continue;
    const auto size = entry->file_size(unknown);
    if (!unknown) bytes += size;
  }
  return bytes;
}

std::vector<Finding> file_findings() {
  const auto environment = models::Environment::from_process();
  std::vector<Finding> findings;
  std::string names;
  for (const auto& model : models::list_models(environment)) {
    if (model.pulled) names += fmt::format("{}{}", names.empty() ? "" : ", ", model.name);
  }
  const bool any = !names.empty();
  findings.push_back({"models", any, any ? names : "none is here", any ? "" : "bulkhead pull gemma-3-270m (253 MB)"});
  for (const auto* name : {"models", "packed", "build"}) {
    const auto folder = std::string_view(name) == "models" ? environment.models_folder : cache_folder() / name;
    if (const auto bytes = bytes_below(folder); bytes > 0) {
      findings.push_back(
          {fmt::format("cache {}", name), true, fmt::format("{} in {}", gigabytes(bytes), folder.string())});
    }
  }
  std::error_code unknown;
  auto existing = environment.models_folder;
  while (!existing.empty() && !fs::exists(existing, unknown) && existing != existing.parent_path()) {
    existing = existing.parent_path();
  }
  if (const auto space = fs::space(existing, unknown); !unknown) {
    const bool enough = space.available > std::uint64_t{2} << 30U;
    findings.push_back({"disk", enough, fmt::format("{} are free for models", gigabytes(space.available)),
                        enough ? "" : "a small model takes 0.3 to 1 GB, and as much again packed (--no-packed-cache)"});
  }
  return findings;
}

// Whether `bulkhead serve` would get its usual port.
Finding port_finding() {
  constexpr std::uint16_t kPort = 8080;
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return {"port 8080", false, "this process may not open sockets", "serve on a path: --host x.sock"};
  const int on = 1;
  static_cast<void>(::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(kPort);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool free = ::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  static_cast<void>(::close(socket));
  if (free) return {"port 8080", true, "is free for bulkhead serve"};
  return {"port 8080", false, "is taken", "bulkhead serve --port 0 takes any free one"};
}

std::vector<Finding> all_findings() {
  auto findings = machine_findings();
  findings.push_back(kernel_finding());
  findings.push_back(gpu_finding());
  findings.push_back({"engine llama", true, "is built in"});
  for (const auto* engine : {"transformers", "mlx"}) findings.push_back(framework_finding(engine));
  for (auto& finding : file_findings()) findings.push_back(std::move(finding));
  findings.push_back(port_finding());
  return findings;
}

int doctor(const CommonFlags& flags) {
  Json document = Json::array();
  for (const auto& finding : all_findings()) {
    if (flags.json) {
      document.push_back(
          {{"about", finding.about}, {"good", finding.good}, {"said", finding.said}, {"advice", finding.advice}});
      continue;
    }
    console::print("{:20} {}\n", finding.about, finding.said);
    if (!finding.advice.empty()) console::print("{:20} -> {}\n", "", finding.advice);
  }
  if (flags.json) console::print_data(json_text(document, JsonForm::kPretty) + '\n');
  return 0;
}

}  // namespace

Command add_doctor(CLI::App& program) {
  auto flags = std::make_shared<CommonFlags>();
  auto* command = program.add_subcommand("doctor", "Say what this machine has and lacks for each engine.");
  command->add_flag("--json", flags->json, "machine-readable output on stdout");
  command->footer("Looks only: nothing is loaded, fetched or changed.");
  return [flags] { return doctor(*flags); };
}

}  // namespace bulkhead::cli
