package import Models

/// Which text a candidate is judged on.
public enum JudgedText: Sendable {
  /// Held-out calibration text, which candidates are chosen on.
  case choosing
  /// The evaluation text, which only the chosen candidate is verified on.
  case verifying
}

/// Finds the smallest model that keeps within a quality budget.
///
/// Harm falls with size as 4^−bits, about, so a search by secants on its logarithm needs few candidates. The one that is
/// chosen on held-out calibration text is verified on the evaluation text, and made larger as long as it does not hold there.
package struct RateSearch {
  /// A model and what it was made for.
  struct Candidate {
    var bytes: Int
    var result: PassResult
    /// ln(confidence bound of the harm / limit), the worst of the limits: at most 0 when the budget holds.
    var excess: Double
  }

  /// The sizes that can be reached.
  let range: ClosedRange<Int>
  /// The model's weights, for turning bits into bytes.
  let parameters: Int
  let attempt: (Int) throws -> PassResult
  let judge: (Checkpoint, JudgedText) throws -> Double

  /// A search over sizes in `range` of a model with `parameters` weights.
  ///
  /// - Parameters:
  ///   - attempt: makes a model of at most so many bytes.
  ///   - judge: ln(confidence bound of its harm / limit) on a text.
  package init(
    range: ClosedRange<Int>, parameters: Int, attempt: @escaping (Int) throws -> PassResult,
    judge: @escaping (Checkpoint, JudgedText) throws -> Double
  ) {
    self.range = range
    self.parameters = parameters
    self.attempt = attempt
    self.judge = judge
  }

  /// The most candidates that are made.
  private static let mostAttempts = 10
  /// The excess that is aimed at: a little below 0.
  private static let aim = -0.015
  /// ln 4: what one bit a weight takes off the logarithm of the harm, where nothing better is known.
  private static let slope = 1.386

  /// The smallest candidate that holds on both texts; where none does, the best one, with a note that says so.
  package func run() throws -> PassResult {
    var tried: [Candidate] = []
    var bytes = clamped(4.5 * Double(parameters) / 8)
    // Repairs lower the aim on the choosing text by what the verifying text asked for.
    var aim = RateSearch.aim
    var verified: Candidate?
    while tried.count < RateSearch.mostAttempts {
      let candidate = try make(bytes)
      tried.append(candidate)
      // The last attempt is verified, whatever else could be tried.
      if tried.count < RateSearch.mostAttempts, let next = next(after: tried, aim: aim) {
        bytes = next
        continue
      }
      guard let chosen = smallest(of: tried, aim: aim) else { break }
      let excess = try judge(chosen.result.checkpoint, .verifying)
      if excess <= 0 {
        verified = chosen
        break
      }
      guard chosen.bytes < range.upperBound else { break }
      aim = min(aim, chosen.excess) - excess + RateSearch.aim
      bytes = clamped(
        Double(chosen.bytes) + (excess - RateSearch.aim) / RateSearch.slope * Double(parameters) / 8)
    }
    if var result = verified?.result {
      result.notes.append(
        "the smallest of \(tried.count) candidates that keeps within the budget on held-out calibration text, verified on the evaluation text"
      )
      return result
    }
    guard var best = tried.min(by: { ($0.excess, $0.bytes) < ($1.excess, $1.bytes) })?.result else {
      throw PassError("no candidate was made")
    }
    best.notes.append(
      "no model of up to \(range.upperBound) bytes keeps within the budget; this is the best of \(tried.count)"
    )
    return best
  }

  private func make(_ bytes: Int) throws -> Candidate {
    let result = try attempt(bytes)
    return Candidate(bytes: bytes, result: result, excess: try judge(result.checkpoint, .choosing))
  }

  private func clamped(_ bytes: Double) -> Int {
    Int(min(max(bytes, Double(range.lowerBound)), Double(range.upperBound)))
  }

  private func smallest(of tried: [Candidate], aim: Double) -> Candidate? {
    tried.filter { $0.excess <= aim - RateSearch.aim }.min { $0.bytes < $1.bytes }
  }

  /// The next size to try, or nil when the search has ended: at an end of the range, or between two sizes half a percent apart.
  private func next(after tried: [Candidate], aim: Double) -> Int? {
    let good = smallest(of: tried, aim: aim)
    let bad = tried.filter { $0.excess > aim - RateSearch.aim }.max { $0.bytes < $1.bytes }
    switch (good, bad) {
    case (let good?, let bad?):
      guard good.bytes - bad.bytes > max(1, good.bytes / 200), good.excess < aim + 2 * RateSearch.aim else {
        return nil
      }
      let share = (bad.excess - aim) / max(1e-9, bad.excess - good.excess)
      // Away from the ends, so that the bracket shrinks.
      let guess = Double(bad.bytes) + min(max(share, 0.1), 0.9) * Double(good.bytes - bad.bytes)
      return clamped(guess)
    case (let good?, nil):
      guard good.bytes > range.lowerBound, good.excess < aim + 2 * RateSearch.aim else { return nil }
      return clamped(Double(good.bytes) - step(aim - good.excess))
    case (nil, let bad?):
      return bad.bytes < range.upperBound ? clamped(Double(bad.bytes) + step(bad.excess - aim)) : nil
    case (nil, nil): return nil
    }
  }

  /// The bytes that change the logarithm of the harm by `change`, at most a bit and a half a weight.
  private func step(_ change: Double) -> Double {
    max(64, min(1.5, change / RateSearch.slope) * Double(parameters) / 8)
  }
}
