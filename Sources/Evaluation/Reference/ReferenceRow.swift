internal import TensorCore

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// The likeliest tokens of one row of logits, the others lumped together, and a few of them drawn at random.
///
/// The likeliest tokens and one bucket of all others bound KL divergence from below; within the bucket it is estimated, without
/// bias, from the tokens that were drawn.
struct ReferenceRow: Equatable {
  /// The likeliest tokens, the likeliest first; of equal ones the lower number.
  var tokens: [UInt32]
  /// Their ln p.
  var logs: [Float]
  /// Tokens drawn from the others with their probability, with replacement.
  var drawn: [UInt32] = []
  /// Their ln p.
  var drawnLogs: [Float] = []
  /// The probability of all other tokens together.
  var tail: Float
  /// ln p of the true token.
  var truth: Float
  /// The logarithm of the sum of the exponentials of all logits.
  var logSum: Float

  init(
    tokens: [UInt32], logs: [Float], drawn: [UInt32], drawnLogs: [Float], tail: Float, truth: Float,
    logSum: Float
  ) {
    self.tokens = tokens
    self.logs = logs
    self.drawn = drawn
    self.drawnLogs = drawnLogs
    self.tail = tail
    self.truth = truth
    self.logSum = logSum
  }

  /// The `shape.likeliest` likeliest tokens of `logits`, and `shape.drawn` of the others; nil when a logit is NaN or infinite.
  ///
  /// - Parameters:
  ///   - truth: the token that really followed.
  ///   - number: the row's number, which seeds the draw.
  /// - Precondition: the shape is one of this many logits, and `truth` is one of them.
  init?(_ logits: UnsafeBufferPointer<Float>, shape: ReferenceShape, truth: Int, number: Int) {
    let k = shape.likeliest
    precondition(k > 0 && k <= logits.count && logits.indices.contains(truth), "no such tokens")
    guard let base = logits.baseAddress, Kernels.allFinite(base, count: logits.count) else { return nil }
    let sum = Kernels.logSumExp(base, count: logits.count)
    let order = ReferenceRow.likeliest(logits, k)
    tokens = order.map { UInt32(truncatingIfNeeded: $0) }
    logs = order.map { Float(Double(logits[$0]) - sum) }
    let places = order.sorted()
    let rest = ReferenceRow.tail(logits, logSum: sum, without: places)
    tail = Float(rest)
    let random = ReferenceRow.draw(
      shape.drawn, of: logits, logSum: sum, total: rest, without: places, number: number)
    drawn = random.map { UInt32(truncatingIfNeeded: $0) }
    drawnLogs = random.map { Float(Double(logits[$0]) - sum) }
    self.truth = Float(Double(logits[truth]) - sum)
    logSum = Float(sum)
  }

  /// The places of the `k` largest logits, the largest first: a heap whose root is the least of those kept.
  private static func likeliest(_ logits: UnsafeBufferPointer<Float>, _ k: Int) -> [Int] {
    guard k < logits.count else {
      return logits.indices.sorted { (logits[$0], $1) > (logits[$1], $0) }
    }
    // Whether `a` has to go before `b` does.
    func isWorse(_ a: Int, _ b: Int) -> Bool { (logits[a], b) < (logits[b], a) }
    var heap = Array(0..<k)
    func sift(_ start: Int) {
      var parent = start
      while true {
        var child = 2 * parent + 1
        guard child < k else { return }
        if child + 1 < k, isWorse(heap[child + 1], heap[child]) { child += 1 }
        guard isWorse(heap[child], heap[parent]) else { return }
        heap.swapAt(child, parent)
        parent = child
      }
    }
    for start in (0..<k / 2).reversed() { sift(start) }
    for place in k..<logits.count where logits[place] > logits[heap[0]] {
      heap[0] = place
      sift(0)
    }
    return heap.sorted { isWorse($1, $0) }
  }

  /// `count` places drawn in proportion to their probability, `total` in all, from those that are not among `places`. Systematic
  /// sampling: one random number shifts `count` equidistant marks along the sum, which varies less than as many random numbers.
  private static func draw(
    _ count: Int, of logits: UnsafeBufferPointer<Float>, logSum: Double, total: Double, without places: [Int],
    number: Int
  ) -> [Int] {
    guard count > 0, total > 0, places.count < logits.count else { return [] }
    var generator = SeededGenerator(seed: UInt64(truncatingIfNeeded: number))
    let step = total / Double(count)
    var mark = generator.uniform() * step
    var result: [Int] = []
    var (sum, start, last) = (0.0, 0, 0)
    for place in places + [logits.count] {
      for other in start..<max(start, place) {
        sum += exp(Double(logits[other]) - logSum)
        last = other
        while mark < sum, result.count < count {
          result.append(other)
          mark += step
        }
      }
      start = place + 1
    }
    // Rounding may leave the last mark just beyond the sum.
    while result.count < count { result.append(last) }
    return result
  }

  /// The probability of all tokens but those of the ascending `places`, summed directly: 1 − the others' would cancel.
  static func tail(
    _ logits: UnsafeBufferPointer<Float>, logSum: Double, without places: [Int]
  ) -> Double {
    var sum = 0.0
    var start = 0
    for place in places + [logits.count] {
      for other in start..<max(start, place) { sum += exp(Double(logits[other]) - logSum) }
      start = place + 1
    }
    return sum
  }
}

/// How many tokens of a row are kept.
public struct ReferenceShape: Sendable, Equatable {
  /// The likeliest ones.
  public var likeliest: Int
  /// Those drawn from the others.
  public var drawn: Int

  /// `total` tokens of a vocabulary: a fifth of them drawn, at most 32; all of them likeliest where that is the vocabulary.
  public init(total: Int, vocabulary: Int) {
    let total = max(1, total)
    drawn = total >= vocabulary ? 0 : min(32, total / 5)
    likeliest = min(vocabulary, total - drawn)
  }

  /// A shape of these counts.
  public init(likeliest: Int, drawn: Int) {
    self.likeliest = likeliest
    self.drawn = drawn
  }
}

extension LogitRow {
  /// The score of this row against what is kept of the baseline's.
  ///
  /// Over the likeliest tokens and one bucket of all others KL divergence is at most that of the whole distributions (data processing
  /// inequality). What is missing is P · KL(p′ ‖ q′) of the distributions inside the bucket of probability P; its estimate is
  /// P times the mean of r − 1 − ln r over tokens drawn from p′, r being q′/p′: never negative, without bias since E r = 1, and of
  /// little variance, being of second order in ln r.
  func score(of token: Int, reference: ReferenceRow) -> TokenScore {
    var inside = 0.0
    var bound = 0.0
    for (token, log) in zip(reference.tokens, reference.logs) {
      let mine = -loss(of: Int(token))
      inside += exp(mine)
      bound += exp(Double(log)) * (Double(log) - mine)
    }
    let tail = Double(reference.tail)
    var missing = 0.0
    if tail > 0 {
      // Where 1 − inside has lost its digits, the others are summed one by one.
      let rest =
        1 - inside > 1e-4 ? 1 - inside : self.tail(without: reference.tokens.map { Int($0) }.sorted())
      let shift = log(tail) - log(max(rest, 1e-300))
      bound += tail * shift
      for (token, log) in zip(reference.drawn, reference.drawnLogs) {
        let ratio = -loss(of: Int(token)) - Double(log) + shift
        missing += expm1(ratio) - ratio
      }
      if !reference.drawn.isEmpty { missing *= tail / Double(reference.drawn.count) }
    }
    return TokenScore(
      loss: loss(of: token), baselineLoss: -Double(reference.truth), divergence: max(0, bound) + missing,
      bound: max(0, bound), isSameTop: reference.tokens.first == UInt32(truncatingIfNeeded: top),
      isTruthTop: top == token)
  }
}
