// SPDX-License-Identifier: MIT
// `cache`: what lies in a vault, whether it is whole, and what is to go.
#include "base/cache_folder.h"
#include "base/console.h"
#include "cli/command.h"
#include "vault/transfer.h"
#include "vault/vault.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <memory>
#include <utility>

namespace bulkhead::cli {
namespace {

using vault::HexName;
using vault::Kind;
using vault::Shelf;
using vault::StoredImage;
using vault::Vault;

constexpr std::size_t kFewestDigits = 6;

struct CacheFlags {
  CommonFlags common;
  std::string folder = (cache_folder() / "vault").string();
  std::uint64_t disk_mib = 0;
  std::string image;
  std::vector<std::string> images;
  std::string file;
};

struct ImagePlace {
  HexName owner;
  HexName name;
};

Result<std::vector<ImagePlace>> all_images(const Shelf& shelf) {
  std::vector<ImagePlace> places;
  BH_TRY(const auto owners, shelf.owners());
  for (const auto& owner : owners) {
    BH_TRY(const auto names, shelf.names(owner, Kind::kImages));
    for (const auto& name : names) places.push_back({owner, name});
  }
  return places;
}

// The one image whose name begins so.
Result<ImagePlace> image_named(const Shelf& shelf, const std::string& begin) {
  BH_TRY(const auto places, all_images(shelf));
  std::vector<ImagePlace> found;
  for (const auto& place : places) {
    if (place.name.text().starts_with(begin)) found.push_back(place);
  }
  if (begin.size() < kFewestDigits) {
    return Error{ErrorCode::kUsage, fmt::format("\"{}\" is too short", begin), "image",
                 fmt::format("give the first {} digits of its name at least", kFewestDigits)};
  }
  if (found.empty()) return Error{ErrorCode::kBadInput, "there is no such image", begin, "see bulkhead cache ls"};
  if (found.size() == 1) return found.front();
  return Error{ErrorCode::kUsage, fmt::format("{} images are named so", found.size()), begin, "give more digits"};
}

Result<std::vector<ImagePlace>> images_named(const Shelf& shelf, const std::vector<std::string>& begins) {
  std::vector<ImagePlace> places;
  for (const auto& begin : begins) {
    BH_TRY(auto place, image_named(shelf, begin));
    places.push_back(std::move(place));
  }
  return places;
}

Result<Vault> opened(const CacheFlags& flags) {
  return Vault::open({.folder = flags.folder, .budget_bytes = flags.disk_mib << 20U});
}

// What is printed for people in place of JSON.
void print_document(const Json& document, const CacheFlags& flags, const std::string& text) {
  if (flags.common.json) {
    console::print_data(json_text(document, JsonForm::kPretty) + '\n');
  } else {
    console::print("{}", text);
  }
}

std::string time_text(std::int64_t seconds) {
  constexpr std::int64_t kLastYear = 253402300799;  // 9999
  const auto time = static_cast<std::time_t>(std::clamp<std::int64_t>(seconds, 0, kLastYear));
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(time));
}

Json image_json(const StoredImage& image) {
  return {{"image", image.key.name().text()},
          {"owner", image.key.owner()},
          {"partition", image.key.partition()},
          {"tokens", image.partition.ledger.tokens.size()},
          {"cell_bytes", image.snapshot_bytes() - image.head.size() - image.tail.size()},
          {"pieces", image.pieces.size()},
          {"saved_at", time_text(image.saved_at)},
          {"token_sha256", image.key.token_sha256()},
          {"identity", image.key.identity().text()}};
}

Json damaged_json(const ImagePlace& place, const Error& error) {
  return {{"image", place.name.text()},
          {"error", {{"code", std::string(name(error.code))}, {"message", error.message}}}};
}

std::string line_of(const Json& image) {
  const auto name = image["image"].get<std::string>().substr(0, 16);
  if (image.contains("error")) return fmt::format("{:16}  {}\n", name, image["error"]["message"].get<std::string>());
  return fmt::format("{:16}  {:>8}  {:>9.1f}  {:20}  {:16}  {}\n", name, image["tokens"].get<std::uint64_t>(),
                     static_cast<double>(image["cell_bytes"].get<std::uint64_t>()) / 1e6,
                     image["saved_at"].get<std::string>(), image["owner"].get<std::string>(),
                     image["partition"].get<std::string>());
}

Result<int> list_images(const CacheFlags& flags) {
  BH_TRY(const auto shelf, Shelf::open(flags.folder));
  BH_TRY(const auto places, all_images(shelf));
  Json images = Json::array();
  std::string text =
      fmt::format("{:16}  {:>8}  {:>9}  {:20}  {:16}  {}\n", "image", "tokens", "MB", "saved", "owner", "partition");
  for (const auto& place : places) {
    const auto image = shelf.image(place.owner, place.name);
    images.push_back(image.ok() ? image_json(image.value()) : damaged_json(place, image.error()));
    text += line_of(images.back());
  }
  print_document({{"folder", flags.folder}, {"images", std::move(images)}}, flags, text);
  return 0;
}

Result<int> show_image(const CacheFlags& flags) {
  BH_TRY(const auto shelf, Shelf::open(flags.folder));
  BH_TRY(const auto place, image_named(shelf, flags.image));
  BH_TRY(const auto image, shelf.image(place.owner, place.name));
  auto document = image_json(image);
  Json fit = Json::object();
  for (const auto& [field, value] : image.key.fit()) fit[field] = value;
  document["fit"] = std::move(fit);
  Json origins = Json::object();
  for (const auto& [kind, count] : image.partition.ledger.count_by_origin()) origins[std::string(name(kind))] = count;
  document["tokens_by_origin"] = std::move(origins);
  Json messages = Json::array();
  for (const auto& receipt : image.partition.ledger.messages) {
    messages.push_back(
        {{"label", receipt.label}, {"from", receipt.from}, {"sha256", receipt.sha256}, {"tokens", receipt.tokens}});
  }
  document["messages"] = std::move(messages);
  std::string text;
  for (const auto& [field, value] : document.items()) {
    text += fmt::format("{:18} {}\n", field, value.is_string() ? value.get<std::string>() : json_text(value));
  }
  print_document(document, flags, text);
  return 0;
}

Result<int> verify_images(const CacheFlags& flags) {
  BH_TRY(const auto shelf, Shelf::open(flags.folder));
  BH_TRY(const auto places, flags.images.empty() ? all_images(shelf) : images_named(shelf, flags.images));
  Json images = Json::array();
  std::string text;
  int code = 0;
  for (const auto& place : places) {
    const auto whole = vault::verify(shelf, place.owner, place.name);
    images.push_back(whole.ok() ? Json{{"image", place.name.text()}} : damaged_json(place, whole.error()));
    text += fmt::format("{}  {}\n", place.name.text(), whole.ok() ? "whole" : whole.error().message);
    if (!whole.ok() && code == 0) code = exit_code(whole.error().code);
  }
  if (places.empty()) text = "nothing is there\n";
  print_document({{"images", std::move(images)}, {"whole", code == 0}}, flags, text);
  return code;
}

Result<int> collect(const CacheFlags& flags) {
  BH_TRY(auto vault, opened(flags));
  BH_TRY(const auto done, vault.collect_garbage());
  print_document(
      {{"pieces", done.pieces},
       {"aside", done.aside},
       {"evicted", done.evicted},
       {"unreadable", done.unreadable},
       {"bytes", done.bytes}},
      flags,
      fmt::format("{} pieces of nobody and {} unfinished files removed, {} images evicted, {} unreadable; {:.1f} MB\n",
                  done.pieces, done.aside, done.evicted, done.unreadable, static_cast<double>(done.bytes) / 1e6));
  return 0;
}

Result<int> remove_images(const CacheFlags& flags) {
  BH_CHECK(Shelf::open(flags.folder));  // none is made here
  BH_TRY(auto vault, opened(flags));
  BH_TRY(const auto places, images_named(vault.shelf(), flags.images));
  Json removed = Json::array();
  std::string text;
  for (const auto& place : places) {
    BH_CHECK(vault.remove(place.owner, place.name));
    removed.push_back(place.name.text());
    text += place.name.text() + '\n';
  }
  print_document({{"removed", std::move(removed)}}, flags, text);
  return 0;
}

Result<int> export_one(const CacheFlags& flags) {
  BH_TRY(const auto shelf, Shelf::open(flags.folder));
  BH_TRY(const auto place, image_named(shelf, flags.image));
  BH_CHECK(vault::export_image(shelf, place.owner, place.name, flags.file));
  print_document({{"image", place.name.text()}, {"file", flags.file}}, flags, flags.file + '\n');
  return 0;
}

Result<int> import_one(const CacheFlags& flags) {
  BH_TRY(auto vault, opened(flags));
  BH_TRY(const auto saved, vault::import_image(vault, flags.file));
  print_document({{"image", saved.name.text()},
                  {"pieces", saved.pieces},
                  {"shared_pieces", saved.shared_pieces},
                  {"written_bytes", saved.written_bytes},
                  {"evicted", saved.evicted}},
                 flags, saved.name.text() + '\n');
  return 0;
}

using Act = Result<int> (*)(const CacheFlags&);

int done(Act act, const CacheFlags& flags) {
  const auto code = act(flags);
  return code.ok() ? code.value() : print_error(code.error(), flags.common);
}

CLI::App* add_act(CLI::App& cache, const std::string& name, const std::string& about,
                  const std::shared_ptr<CacheFlags>& flags) {
  auto* act = cache.add_subcommand(name, about);
  act->add_option("--cache-dir", flags->folder, "folder of the vault (vault in the cache folder)");
  act->add_flag("--json", flags->common.json, "machine-readable output on stdout");
  return act;
}

}  // namespace

Command add_cache(CLI::App& program) {
  auto flags = std::make_shared<CacheFlags>();
  auto* cache = program.add_subcommand("cache", "Look at partitions kept on disk, and remove or move them.");
  cache->require_subcommand(1);
  std::vector<std::pair<CLI::App*, Act>> acts;
  const auto add = [&](const std::string& name, const std::string& about, Act act) {
    acts.emplace_back(add_act(*cache, name, about, flags), act);
    return acts.back().first;
  };
  const std::string begin = "the first digits of an image's name";
  add("ls", "List the images.", list_images);
  add("show", "Show one image: its books, without texts.", show_image)
      ->add_option("image", flags->image, begin)
      ->required();
  add("verify", "Check every byte of all images, or of some.", verify_images)
      ->add_option("image", flags->images, begin);
  auto* gc = add("gc", "Remove what no image needs, and images beyond the budget.", collect);
  add("rm", "Remove images.", remove_images)->add_option("image", flags->images, begin)->required();
  auto* exported = add("export", "Write one image with its cells as a file.", export_one);
  exported->add_option("image", flags->image, begin)->required();
  exported->add_option("file", flags->file, "a new file")->required();
  auto* imported = add("import", "Take such a file in.", import_one);
  imported->add_option("file", flags->file, "a file that `bulkhead cache export` wrote")->required();
  for (auto* act : {gc, imported}) {
    act->add_option("--cache-disk", flags->disk_mib, "MiB that the vault may have; 0: no limit")
        ->check(CLI::Range(0, 1 << 30))
        ->capture_default_str();
  }
  return [flags, acts] {
    const auto chosen = std::find_if(acts.begin(), acts.end(), [](const auto& act) { return act.first->parsed(); });
    return done(chosen->second, *flags);
  };
}

}  // namespace bulkhead::cli
