/// How long a step still takes, from how far it has come since it was first heard of.
///
/// Parts of one step (`calibrate: observe`, `calibrate: round` …) share its fraction, and remarks may come between its
/// reports; neither begins it anew. A training that is gone on with begins where it was left, so that what was done before is not
/// taken for speed.
public struct TimeLeft: Sendable {
  private var step = ""
  private var begun = ContinuousClock.now
  private var first = 0.0
  private var latest = 0.0

  /// Less of a step than this tells nothing about the rest.
  private static let leastSeen = 0.02

  /// Nothing heard of.
  public init() {}

  /// Forgets the step: another stage begins.
  public mutating func reset() { step = "" }

  /// The seconds that are left, or nil while that cannot be told.
  ///
  /// - Parameters:
  ///   - name: the step, and behind a colon its part.
  ///   - fraction: how much of the step is done.
  ///   - now: when that was so.
  public mutating func seconds(of name: String, fraction: Double, now: ContinuousClock.Instant) -> Double? {
    let whole = String(name.prefix { $0 != ":" })
    if whole != step || fraction < latest {
      (step, begun, first) = (whole, now, fraction)
    }
    latest = fraction
    guard fraction - first > TimeLeft.leastSeen, fraction <= 1 else { return nil }
    let elapsed = (now - begun) / Duration.seconds(1)
    return elapsed / (fraction - first) * (1 - fraction)
  }
}
