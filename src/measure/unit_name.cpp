// SPDX-License-Identifier: MIT
#include "measure/unit_name.h"

#include <algorithm>
#include <array>
#include <string>

namespace bulkhead::measure {
namespace {

struct Unit {
  std::string_view name;
  std::string_view spellings;  // between spaces
};

constexpr std::array kUnits = {
    Unit{"percent", " percent pct "},
    Unit{"dollar", " USD dollar dollars "},
    Unit{"euro", " EUR euro euros "},
    Unit{"pound", " GBP "},
    Unit{"yen", " JPY yen "},
    Unit{"franc", " CHF franc francs "},
    Unit{"millimetre", " mm millimetre millimetres millimeter millimeters "},
    Unit{"centimetre", " cm centimetre centimetres centimeter centimeters "},
    Unit{"metre", " m metre metres meter meters "},
    Unit{"kilometre", " km kilometre kilometres kilometer kilometers "},
    Unit{"mile", " mile miles "},
    Unit{"milligram", " mg milligram milligrams "},
    Unit{"gram", " g gram grams "},
    Unit{"kilogram", " kg kilogram kilograms kilo kilos "},
    Unit{"tonne", " tonne tonnes ton tons "},
    Unit{"millilitre", " ml mL millilitre millilitres milliliter milliliters "},
    Unit{"litre", " l L litre litres liter liters "},
    Unit{"millisecond", " ms millisecond milliseconds "},
    Unit{"second", " s sec secs second seconds "},
    Unit{"minute", " min mins minute minutes "},
    Unit{"hour", " h hr hrs hour hours "},
    Unit{"day", " day days "},
    Unit{"week", " week weeks "},
    Unit{"month", " month months "},
    Unit{"year", " year years "},
    Unit{"bar", " bar bars "},
    Unit{"pascal", " Pa pascal pascals "},
    Unit{"kilopascal", " kPa kilopascal kilopascals "},
    Unit{"megapascal", " MPa megapascal megapascals "},
    Unit{"psi", " psi "},
    Unit{"degree", " degree degrees "},
    Unit{"celsius", " celsius "},
    Unit{"fahrenheit", " fahrenheit "},
    Unit{"kelvin", " K kelvin "},
    Unit{"hertz", " Hz hertz "},
    Unit{"kilohertz", " kHz kilohertz "},
    Unit{"megahertz", " MHz megahertz "},
    Unit{"gigahertz", " GHz gigahertz "},
    Unit{"milliwatt", " mW milliwatt milliwatts "},
    Unit{"watt", " W watt watts "},
    Unit{"kilowatt", " kW kilowatt kilowatts "},
    Unit{"megawatt", " MW megawatt megawatts "},
    Unit{"kilowatt hour", " kWh "},
    Unit{"megawatt hour", " MWh "},
    Unit{"volt", " V volt volts "},
    Unit{"ampere", " ampere amperes amp amps "},
    Unit{"kilobyte", " kB KB kilobyte kilobytes "},
    Unit{"megabyte", " MB megabyte megabytes "},
    Unit{"gigabyte", " GB gigabyte gigabytes "},
    Unit{"terabyte", " TB terabyte terabytes "},
};

std::string_view find(std::string_view word) {
  const std::string wanted = " " + std::string(word) + " ";
  const auto* unit = std::ranges::find_if(
      kUnits, [&](const Unit& one) { return one.spellings.find(wanted) != std::string_view::npos; });
  return unit == kUnits.end() ? std::string_view() : unit->name;
}

}  // namespace

std::string_view unit_name(std::string_view word) {
  if (const auto name = find(word); !name.empty()) return name;
  std::string lower(word);
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  // A single letter means another unit in the other case.
  return lower.size() > 1 ? find(lower) : std::string_view();
}

bool is_currency(std::string_view name) {
  constexpr std::array<std::string_view, 5> kCurrencies{"dollar", "euro", "pound", "yen", "franc"};
  return std::ranges::count(kCurrencies, name) > 0;
}

}  // namespace bulkhead::measure
