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
    precondition(!logits.isEmpty, "no logits")
    let values = Array(logits)
    let best = values.withUnsafeBufferPointer { buffer in
      buffer.baseAddress.map { Kernels.argmax($0, count: buffer.count) } ?? 0
    }
    guard temperature > 0, values[best].isFinite else { return best }
    let candidates = candidates(values, top: values[best])
    let total = candidates.reduce(0) { $0 + $1.weight }
    var rest = generator.uniform() * total
    for candidate in candidates {
      rest -= candidate.weight
      if rest < 0 { return candidate.token }
    }
    return candidates.last?.token ?? best
  }

  /// The tokens that may be picked, the likeliest first, with their probabilities up to a factor.
  private func candidates(_ values: [Float], top: Float) -> [(token: Int, weight: Double)] {
    var order = values.indices.filter { !values[$0].isNaN }
    if topK > 0 || topP < 1 {
      order.sort { (values[$0], $1) > (values[$1], $0) }
      if topK > 0 { order = Array(order.prefix(topK)) }
    }
    var result = order.map { (token: $0, weight: exp(Double(values[$0] - top) / Double(temperature))) }
    guard topP < 1 else { return result }
    let limit = Double(topP) * result.reduce(0) { $0 + $1.weight }
    var (sum, count) = (0.0, 0)
    while count < result.count, count == 0 || sum < limit {
      sum += result[count].weight
      count += 1
    }
    result.removeLast(result.count - count)
    return result
  }
}
