#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Answers that two models gave to the same questions: how many became right, and how many wrong.
///
/// Equal accuracies may hide many of both ("Accuracy is Not All You Need", 2024).
public struct Flips: Sendable, Equatable {
  /// Right in both.
  public var bothRight: Int
  /// Right in the first, wrong in the second.
  public var lost: Int
  /// Wrong in the first, right in the second.
  public var gained: Int
  /// Wrong in both.
  public var bothWrong: Int

  /// Counts of these parts.
  public init(bothRight: Int, lost: Int, gained: Int, bothWrong: Int) {
    self.bothRight = bothRight
    self.lost = lost
    self.gained = gained
    self.bothWrong = bothWrong
  }

  /// The counts of two rows of answers.
  ///
  /// - Precondition: as many of the one as of the other.
  public init(_ first: [Bool], _ second: [Bool]) {
    precondition(first.count == second.count, "answers to other questions")
    self.init(bothRight: 0, lost: 0, gained: 0, bothWrong: 0)
    for pair in zip(first, second) {
      switch pair {
      case (true, true): bothRight += 1
      case (true, false): lost += 1
      case (false, true): gained += 1
      case (false, false): bothWrong += 1
      }
    }
  }

  /// McNemar's exact test (1947): the probability of so uneven a split of the answers that changed, or a more uneven one, if
  /// either way were as likely. For questions that are independent of each other, which the tokens of a text are not.
  public var probability: Double {
    let changed = lost + gained
    guard changed > 0 else { return 1 }
    // ln of the binomial probabilities at ½: sums of factorials by lgamma.
    let n = Double(changed)
    let scale = lgamma(n + 1) - n * log(2)
    let tail = (0...min(lost, gained)).reduce(0.0) { sum, k in
      sum + exp(scale - lgamma(Double(k) + 1) - lgamma(n - Double(k) + 1))
    }
    return min(1, 2 * tail)
  }
}
