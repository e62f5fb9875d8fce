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
    let (top, temperature) = (logits[best], Double(temperature))
    func weight(_ token: Int) -> Double { exp(Double(logits[token] - top) / temperature) }
    weights.removeAll(keepingCapacity: true)
    if topK > 0 || topP < 1 {
      let limit = topP < 1 ? Double(topP) * order.reduce(0) { $0 + weight($1) } : .infinity
      takeLikeliest(logits, limit: limit, weight)
    } else {
      for token in order { weights.append(weight(token)) }
    }
    var rest = generator.uniform() * weights.reduce(0, +)
    for (place, weight) in weights.enumerated() {
      rest -= weight
      if rest < 0 { return order[place] }
    }
    return order.last ?? best
  }

  /// The tokens that may be picked, in ``order``: at most ``topK``.
  private mutating func collect(_ logits: UnsafeBufferPointer<Float>) {
    order.removeAll(keepingCapacity: true)
    guard topK > 0, topK < logits.count else {
      for token in logits.indices where !logits[token].isNaN { order.append(token) }
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

  /// Leaves the fewest of the likeliest tokens in ``order`` whose weights sum up to `limit`, the likeliest first, of equal ones the
  /// first token first; their weights go to ``weights``.
  ///
  /// A heap gives one after the other: of a large vocabulary few are taken, so the others need no order.
  private mutating func takeLikeliest(
    _ logits: UnsafeBufferPointer<Float>, limit: Double, _ weight: (Int) -> Double
  ) {
    let count = order.count
    order.withUnsafeMutableBufferPointer { order in
      func isLikelier(_ a: Int, _ b: Int) -> Bool { logits[a] > logits[b] || logits[a] == logits[b] && a < b }
      func sink(_ start: Int, _ end: Int) {
        var place = start
        while true {
          var child = 2 * place + 1
          guard child < end else { return }
          if child + 1 < end, isLikelier(order[child + 1], order[child]) { child += 1 }
          guard isLikelier(order[child], order[place]) else { return }
          order.swapAt(child, place)
          place = child
        }
      }
      for start in stride(from: count / 2 - 1, through: 0, by: -1) { sink(start, count) }
      var (end, sum) = (count, 0.0)
      while end > 0, weights.isEmpty || sum < limit {
        end -= 1
        weights.append(weight(order[0]))
        sum += weights[weights.count - 1]
        order.swapAt(0, end)
        sink(0, end)
      }
    }
    // The taken ones lie at the end, the likeliest last.
    order.reverse()
    order.removeLast(count - weights.count)
  }
}
