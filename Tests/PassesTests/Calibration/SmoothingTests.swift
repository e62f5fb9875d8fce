import Foundation
import ModelFiles
import Passes
import TensorCore
import Testing

/// Outliers of activations moved into the weights, against the definition in double precision.
@Suite("Smoothing")
struct SmoothingTests {
  private static let (rows, columns, tokens) = (24, 64, 200)
  private static let names = ["query", "key"]

  private static func tensor(_ name: String, _ shape: [Int]) -> StoredTensor {
    StoredTensor(
      name: name, shape: shape, format: .f32,
      bytes: TensorBytes(ByteRegion([UInt8](repeating: 0, count: shape.reduce(4, *)))))
  }

  private static let stored = Dictionary(
    uniqueKeysWithValues: (names.map { tensor($0, [rows, columns]) } + [tensor("norm", [columns])]).map {
      ($0.name, $0)
    })

  /// Inputs whose columns 5 and 40 are `outlier` times as large as the others; column 9 is always 0.
  private static func inputs(outlier: Float, seed: UInt64) -> [Float] {
    var generator = SeededGenerator(seed: seed)
    return (0..<tokens * columns).map { place in
      let column = place % columns
      let x = Float(generator.uniform() - 0.5)
      return column == 9 ? 0 : column == 5 || column == 40 ? outlier * x : x
    }
  }

  /// Two layers behind a norm.
  private static func step(
    outlier: Float, sources: Bool = true, heldOut: Bool = true
  ) -> CalibrationSweep.Step {
    var observation = LayerObservation(width: columns)
    inputs(outlier: outlier, seed: 31).withUnsafeBufferPointer {
      if let base = $0.baseAddress { observation.add(original: base, compressed: base, tokens: tokens) }
    }
    if heldOut {
      inputs(outlier: outlier, seed: 32).withUnsafeBufferPointer {
        if let base = $0.baseAddress {
          observation.addHeldOut(original: base, compressed: base, tokens: tokens)
        }
      }
    }
    observation.finish()
    let layers = names.enumerated().map { index, name in
      CalibrationSweep.Layer(
        name, RoundingCase(rows: rows, columns: columns, tokens: 2, seed: UInt64(40 + index)).weights)
    }
    let norm = Matrix(rows: 1, columns: columns, elements: (0..<columns).map { 1 + Float($0) / 64 })
    return CalibrationSweep.Step(
      block: 0, layers: layers, observation: observation, sources: sources ? [("norm", norm)] : [])
  }

  private static func smoothing(_ value: Smoothing) -> ActivationSmoothing {
    ActivationSmoothing(
      value, formats: Dictionary(uniqueKeysWithValues: names.map { ($0, .w8a8) }), stored: stored)
  }

  /// y = W x, by codes from max|w| / 127 a row and max|x| / 127 a token, in double precision: the relative squared error.
  private static func naiveError(_ weights: [Matrix], scale: [Double], inputs: [Float]) -> Double {
    func rounded(_ values: [Double]) -> [Double] {
      let step = values.reduce(0) { max($0, abs($1)) } / 127
      return step > 0 ? values.map { ($0 / step).rounded(.toNearestOrEven) * step } : values
    }
    var (error, energy) = (0.0, 0.0)
    for matrix in weights {
      let w = (0..<rows).map { row in (0..<columns).map { Double(matrix[row, $0]) } }
      let q = w.map { row in rounded(zip(row, scale).map { $0 * $1 }) }
      for token in 0..<tokens {
        let x = (0..<columns).map { Double(inputs[token * columns + $0]) }
        let a = rounded(zip(x, scale).map { $0 / $1 })
        for row in 0..<rows {
          let exact = zip(w[row], x).reduce(0) { $0 + $1.0 * $1.1 }
          let found = zip(q[row], a).reduce(0) { $0 + $1.0 * $1.1 }
          error += (exact - found) * (exact - found)
          energy += exact * exact
        }
      }
    }
    return error / energy
  }

  @Test("maxima of the inputs' columns are those of all tokens seen")
  func maxima() {
    let inputs = Self.inputs(outlier: 30, seed: 31)
    let observation = Self.step(outlier: 30).observation
    for column in 0..<Self.columns {
      let expected = (0..<Self.tokens).reduce(0) { max($0, abs(inputs[$1 * Self.columns + column])) }
      #expect(observation.maxima[column] == expected)
    }
  }

  @Test(
    "scales are max|x|^a / max|w|^(1-a), up to one factor; a column without inputs has the mean",
    arguments: [
      Float(0), 0.5, 0.85, 1,
    ])
  func scales(_ exponent: Float) throws {
    let step = Self.step(outlier: 30)
    let weights = try step.layers.map { try $0.weights }
    let found = try #require(
      ActivationSmoothing.scale(exponent, activations: step.observation.maxima, weights: weights))
    let expected = (0..<Self.columns).map { column -> Double in
      let w = weights.flatMap { matrix in (0..<Self.rows).map { abs(matrix[$0, column]) } }.max() ?? 0
      let x = step.observation.maxima[column]
      return pow(Double(x), Double(exponent)) / pow(Double(w), 1 - Double(exponent))
    }
    let known = (0..<Self.columns).filter { $0 != 9 }
    let mean = exp(known.reduce(0) { $0 + log(expected[$1]) } / Double(known.count))
    for column in known { #expect(abs(Double(found[column]) * mean / expected[column] - 1) < 1e-5) }
    #expect(found[9] == 1)
    #expect(
      ActivationSmoothing.scale(0.5, activations: [0, 0], weights: [Matrix(rows: 1, columns: 2)]) == nil)
  }

  @Test("what is scaled up and what is scaled down cancel")
  func cancels() throws {
    let step = Self.step(outlier: 30)
    let result = try Self.smoothing(.exponent(0.85)).smoothed(step)
    #expect(result.exponent == 0.85)
    #expect(result.tensors.map(\.name) == ["query", "key", "norm"])
    let regions = try result.tensors.map { try $0.bytes.load() }
    for (place, layer) in step.layers.enumerated() {
      let weights = try layer.weights.elements
      for index in 0..<Self.rows * Self.columns {
        let w = regions[place].base.loadUnaligned(fromByteOffset: 4 * index, as: Float.self)
        let n = regions[2].base.loadUnaligned(fromByteOffset: 4 * (index % Self.columns), as: Float.self)
        let expected = weights[index] * step.sources[0].weights[0, index % Self.columns]
        #expect(abs(w * n - expected) <= 1e-5 * abs(expected) + 1e-9)
      }
    }
  }

  @Test("with outliers it halves the error several times, by the definition, and is chosen")
  func outliers() throws {
    let step = Self.step(outlier: 60)
    let exponent = try #require(try Self.smoothing(.chosen).smoothed(step).exponent)
    #expect(ActivationSmoothing.exponents.contains(exponent))
    let weights = try step.layers.map { try $0.weights }
    let scale = try #require(
      ActivationSmoothing.scale(exponent, activations: step.observation.maxima, weights: weights))
    let inputs = Self.inputs(outlier: 60, seed: 33)
    let none = Self.naiveError(weights, scale: [Double](repeating: 1, count: Self.columns), inputs: inputs)
    let smoothed = Self.naiveError(weights, scale: scale.map(Double.init), inputs: inputs)
    #expect(smoothed < none / 4, "\(smoothed) with exponent \(exponent), \(none) without")
  }

  @Test(
    "nothing changes without a place to fold a scale into, without held-out tokens, or when it is not wanted")
  func nothing() throws {
    #expect(
      try Self.smoothing(.exponent(0.5)).smoothed(Self.step(outlier: 60, sources: false)).tensors.isEmpty)
    #expect(try Self.smoothing(.chosen).smoothed(Self.step(outlier: 60, heldOut: false)).tensors.isEmpty)
    #expect(try Self.smoothing(.none).smoothed(Self.step(outlier: 60)).tensors.isEmpty)
    let other = ActivationSmoothing(
      .exponent(0.5), formats: ["query": .w8a8, "key": .int8_channel], stored: Self.stored)
    #expect(try other.smoothed(Self.step(outlier: 60)).tensors.isEmpty)
  }
}
