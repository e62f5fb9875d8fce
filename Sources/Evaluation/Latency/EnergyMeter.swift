/// The energy of the processor's packages, where Linux lets it be read (RAPL through powercap; usually for the administrator only).
struct EnergyMeter {
  private struct Zone {
    var path: String
    var start: Double
    var range: Double
  }

  private let zones: [Zone]

  /// Starts to measure; nil where nothing can be read.
  init?(folder: String = "/sys/class/powercap") {
    zones = (0..<16).compactMap { number in
      let path = "\(folder)/intel-rapl:\(number)"
      guard let start = EnergyMeter.number(path + "/energy_uj") else { return nil }
      return Zone(path: path, start: start, range: EnergyMeter.number(path + "/max_energy_range_uj") ?? 0)
    }
    if zones.isEmpty { return nil }
  }

  /// The joules since the start; nil when a counter has gone.
  var joules: Double? {
    var sum = 0.0
    for zone in zones {
      guard let now = EnergyMeter.number(zone.path + "/energy_uj") else { return nil }
      // Counters begin anew at the end of their range.
      sum += now >= zone.start ? now - zone.start : now + zone.range - zone.start
    }
    return sum * 1e-6
  }

  private static func number(_ path: String) -> Double? {
    SystemFile.contents(path).flatMap { Double($0.filter { !$0.isWhitespace }) }
  }
}
