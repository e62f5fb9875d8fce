import Glibc
import TensorCore

/// Picks the next token from logits. The same seed and logits give the same tokens on every machine.
public struct Sampler: Sendable {
  /// What logits are divided by; 0 always takes the likeliest token.
  public let temperature: Float
  /// How many of the likeliest tokens are sampled from; 0 for all.
  public let topK: Int
  /// The probability that the sampled tokens have together at least; 1 for all.
  public let topP: Float
  private var generator: SeededGenerator
  /// The tokens that may be picked, and their probabilities up to a factor; kept, so that the next token takes no memory.
  private var order: [Int] = []
  private var weights: [Double] = []

  /// A sampler. Temperature comes first, then the `topK` likeliest tokens, then the fewest of these that reach `topP`
  /// (Holtzman et al., 2020).
  public init(temperature: Float = 0, topK: Int = 0, topP: Float = 1, seed: UInt64 = 0) {
    self.temperature = temperature
    self.topK = topK
    self.topP = topP
    generator = SeededGenerator(seed: seed)
  }

  /// The next token. NaN is never taken; of equal logits, the first is likelier.
  ///
  /// - Precondition: there is at least one logit.
  public mutating func pick(_ logits: ArraySlice<Float>) -> Int {
    logits.withUnsafeBufferPointer { pick($0) }
  }

  /// The same from numbers in memory.
  public mutating func pick(_ logits: UnsafeBufferPointer<Float>) -> Int {
    guard let base = logits.baseAddress, !logits.isEmpty else { preconditionFailure("no logits") }
    let best = Kernels.argmax(base, count: logits.count)
    guard temperature > 0, logits[best].isFinite else { return best }
    collect(logits)
    let top = logits[best]
    weights.removeAll(keepingCapacity: true)
    for token in order { weights.append(exp(Double(logits[token] - top) / Double(temperature))) }
    if topP < 1 { cut() }
    var rest = generator.uniform() * weights.reduce(0, +)
    for (place, weight) in weights.enumerated() {
      rest -= weight
      if rest < 0 { return order[place] }
    }
    return order.last ?? best
  }

  /// The tokens that may be picked, in ``order``: the likeliest first where there is a choice to make.
  private mutating func collect(_ logits: UnsafeBufferPointer<Float>) {
    order.removeAll(keepingCapacity: true)
    guard topK > 0, topK < logits.count else {
      for token in logits.indices where !logits[token].isNaN { order.append(token) }
      if topK > 0 || topP < 1 { sort(logits) }
      return
    }
    // Few are kept: each new one is put into its place among them.
    for token in logits.indices where !logits[token].isNaN {
      if order.count == topK {
        guard logits[token] > logits[order[topK - 1]] else { continue }
        order.removeLast()
      }
      var place = order.count
      while place > 0, logits[token] > logits[order[place - 1]] { place -= 1 }
      order.insert(token, at: place)
    }
  }

  /// Sorts ``order`` by falling logits, of equal ones the first token first: a heap sort, which takes no memory.
  private mutating func sort(_ logits: UnsafeBufferPointer<Float>) {
    order.withUnsafeMutableBufferPointer { order in
      func isLater(_ a: Int, _ b: Int) -> Bool { (logits[a], b) < (logits[b], a) }
      func sink(_ start: Int, _ end: Int) {
        var place = start
        while true {
          var child = 2 * place + 1
          guard child < end else { return }
          if child + 1 < end, isLater(order[child + 1], order[child]) { child += 1 }
          guard isLater(order[child], order[place]) else { return }
          order.swapAt(child, place)
          place = child
        }
      }
      for start in stride(from: order.count / 2 - 1, through: 0, by: -1) { sink(start, order.count) }
      for end in stride(from: order.count - 1, to: 0, by: -1) {
        order.swapAt(0, end)
        sink(0, end)
      }
    }
  }

  /// Leaves the fewest of the likeliest tokens that reach ``topP``.
  private mutating func cut() {
    let limit = Double(topP) * weights.reduce(0, +)
    var (sum, count) = (0.0, 0)
    while count < weights.count, count == 0 || sum < limit {
      sum += weights[count]
      count += 1
    }
    order.removeLast(order.count - count)
    weights.removeLast(weights.count - count)
  }
}
