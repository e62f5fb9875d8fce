internal import TensorCore

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// The likeliest tokens of one row of logits, with all that KL divergence needs of the others lumped together.
struct ReferenceRow: Equatable {
  /// The likeliest tokens, the likeliest first; of equal ones the lower number.
  var tokens: [UInt32]
  /// Their ln p.
  var logs: [Float]
  /// The probability of all other tokens together.
  var tail: Float
  /// ln p of the true token.
  var truth: Float
  /// The logarithm of the sum of the exponentials of all logits.
  var logSum: Float

  init(tokens: [UInt32], logs: [Float], tail: Float, truth: Float, logSum: Float) {
    self.tokens = tokens
    self.logs = logs
    self.tail = tail
    self.truth = truth
    self.logSum = logSum
  }

  /// The `k` likeliest tokens of `logits`; nil when one of these is NaN or infinite.
  ///
  /// - Precondition: 0 < `k` ≤ the number of logits, of which `truth` is one.
  init?(_ logits: UnsafeBufferPointer<Float>, k: Int, truth: Int) {
    precondition(k > 0 && k <= logits.count && logits.indices.contains(truth), "no such tokens")
    guard let base = logits.baseAddress, Kernels.allFinite(base, count: logits.count) else { return nil }
    let sum = Kernels.logSumExp(base, count: logits.count)
    let order = ReferenceRow.likeliest(logits, k)
    tokens = order.map { UInt32(truncatingIfNeeded: $0) }
    logs = order.map { Float(Double(logits[$0]) - sum) }
    tail = Float(ReferenceRow.tail(logits, logSum: sum, without: order.sorted()))
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

extension LogitRow {
  /// The score of this row against what is kept of the baseline's: KL divergence over the likeliest tokens and one bucket of all
  /// others, which is at most that of the whole distributions (data processing inequality).
  func score(of token: Int, reference: ReferenceRow) -> TokenScore {
    var inside = 0.0
    var divergence = 0.0
    for (token, log) in zip(reference.tokens, reference.logs) {
      let mine = -loss(of: Int(token))
      inside += exp(mine)
      divergence += exp(Double(log)) * (Double(log) - mine)
    }
    if reference.tail > 0 {
      // Where 1 − inside has lost its digits, the others are summed one by one.
      let rest = 1 - inside > 1e-4 ? 1 - inside : tail(without: reference.tokens.map { Int($0) }.sorted())
      divergence += Double(reference.tail) * (log(Double(reference.tail)) - log(max(rest, 1e-300)))
    }
    return TokenScore(
      loss: loss(of: token), baselineLoss: -Double(reference.truth), divergence: max(0, divergence),
      isSameTop: reference.tokens.first == UInt32(truncatingIfNeeded: top))
  }
}
