internal import ArgumentParser

/// Numbers of threads to measure with beside the one that a run has.
struct ThreadSweep: ExpressibleByArgument, Equatable {
  /// The numbers; nil for one thread where that is quick.
  var counts: [Int]?

  /// No other number.
  static let none = ThreadSweep(counts: [])

  init(counts: [Int]?) { self.counts = counts }

  init?(argument: String) {
    switch argument {
    case "auto": counts = nil
    case "none": counts = []
    default:
      let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
      let numbers = parts.compactMap { Int($0) }.filter { (1...128).contains($0) }
      guard numbers.count == parts.count, numbers.count <= 16 else { return nil }
      counts = numbers
    }
  }

  var defaultValueDescription: String {
    counts.map { $0.isEmpty ? "none" : $0.map(String.init).joined(separator: ",") } ?? "auto"
  }
}
