import Foundation
import Passes
import TensorCore
import Testing
import WeightCodecs

@Suite struct ShippingRateTests {
  /// The entropy of rounded Gaussian numbers against what integrating the density over each code's interval gives.
  @Test(arguments: [0.05, 0.2, 0.5, 1.0, 3.3, 17.0, 400.0]) func gaussianEntropy(spread: Double) {
    var bits = 0.0
    for code in -Int(9 * spread + 3)...Int(9 * spread + 3) {
      var p = 0.0
      for part in 0..<200 {
        let x = (Double(code) - 0.5 + (Double(part) + 0.5) / 200) / spread
        p += exp(-x * x / 2) / (2 * Double.pi).squareRoot() / spread / 200
      }
      if p > 1e-300 { bits -= p * log2(p) }
    }
    #expect(abs(GaussianRate.bits(spread: spread) - bits) < 0.003 + 0.01 * bits)
  }

  @Test func gaussianEntropyGrows() {
    let bits = (-80...200).map { GaussianRate.bits(spread: exp2(Double($0) / 10)) }
    #expect(zip(bits, bits.dropFirst()).allSatisfy { $0 <= $1 })
    #expect(GaussianRate.bits(spread: 0) == 0)
  }

  @Test func stepsGiveTheirBytes() throws {
    var curve = RateCurve()
    for place in 0..<50 { curve.add(spread: exp2(Double(place) / 5 - 6), rows: 1000) }
    for bytes in [2_000.0, 10_000, 25_000, 60_000] {
      let step = try #require(curve.step(bytes: bytes))
      #expect(abs(curve.bytes(step: step) - bytes) < 1e-6 * bytes)
    }
    #expect(RateCurve().step(bytes: 10) == nil)
    #expect(curve.step(bytes: 0) == nil)
  }

  /// One step for all is the best split of the bytes: moving some from one matrix to another adds more than it saves.
  @Test(arguments: [0.1, 0.5, 2.0]) func oneStepIsBest(step: Double) throws {
    var (a, b) = (RateCurve(), RateCurve())
    for place in 0..<40 {
      a.add(spread: 3 + Double(place) / 10, rows: 500)
      b.add(spread: 8 - Double(place) / 10, rows: 300)
    }
    // The loss of a coordinate rounded with a step is step² / 12, whatever its spread, where codes take a bit or more.
    func loss(_ first: Double, _ second: Double) -> Double {
      40 * (500 * first * first + 300 * second * second) / 12
    }
    let (bytesA, bytesB) = (a.bytes(step: step), b.bytes(step: step))
    for moved in [-200.0, -50, 50, 200] {
      let first = try #require(a.step(bytes: bytesA + moved))
      let second = try #require(b.step(bytes: bytesB - moved))
      #expect(loss(first, second) > loss(step, step))
    }
  }

  @Test func codeEntropy() {
    #expect(CodeEntropy.bits(of: [0: 1, 1: 1, 2: 2]) == 6)
    #expect(CodeEntropy.bits(of: [5: 100]) == 0)
    // Half of the columns are zeros: classes see it.
    var generator = SeededGenerator(seed: 4)
    let codes = (0..<64 * 4096).map { $0 % 64 < 32 ? Int32(0) : Int32(generator.uniform() * 16) }
    let bytes = CodeEntropy.bytes(of: codes, columns: 64)
    #expect(abs(bytes - 32 * 4096 / 2) < 2000)
    #expect(CodeEntropy.bytes(of: [], columns: 3) == 0)
  }

  @Test func shortScales() {
    #expect(ShortScale.rounded(1.3, bits: 2) == 1.25)
    #expect(ShortScale.rounded(1.9, bits: 2) == 2)
    #expect(ShortScale.rounded(-0.7, bits: 1) == -0.75)
    #expect(ShortScale.rounded(0, bits: 2) == 0)
    #expect(ShortScale.rounded(.infinity, bits: 2) == .infinity)
    #expect(ShortScale.rounded(.greatestFiniteMagnitude, bits: 2) == .greatestFiniteMagnitude)
    for value in [0.0013, 0.77, 12, 90_000] as [Float] {
      #expect(abs(ShortScale.rounded(value, bits: 7) / value - 1) <= 1 / 256)
    }
  }

  @Test func temperedTokens() {
    // Seen often, hardly, never: the rare ones count as half of an even share.
    let weights = ShippingCosts.tempered([0.9, 0.1, 0])
    let floor = 0.5 / 3
    let mean = (0.9 + 2 * floor) / 3
    #expect(abs(weights[0] - (0.9 * mean).squareRoot()) < 1e-12)
    #expect(weights[1] == weights[2] && abs(weights[2] - (floor * mean).squareRoot()) < 1e-12)
  }

  // MARK: Whole matrices

  @Test(arguments: [(1, 1), (1, 40), (40, 1), (33, 47)]) func layersOfAnyShape(shape: (Int, Int)) throws {
    var generator = SeededGenerator(seed: 2)
    let (rows, columns) = shape
    let target = Matrix(
      rows: rows, columns: columns,
      elements: NaiveLattice.random(rows * columns, &generator).map { Float($0) * 1e-3 })
    let layer = UniformLayer(
      target: target,
      inputs: try LatticeFactor(
        NaiveLattice.covariance(columns, samples: 200, &generator), count: columns, ridge: 0.03),
      outputs: .rows([Double](repeating: 1e-9, count: rows)))
    let result = try layer.rounded(step: 1e-9)
    #expect(result.tensor.format == .uniform8)
    let values = result.values()
    for place in values.elements.indices {
      #expect(abs(values.elements[place] - target.elements[place]) < 2e-4)
    }
  }

  @Test func rowsBeyondOneByteAreWidened() {
    var codes = [Int32](repeating: 5, count: 96 * 3)
    let scales = [Float](repeating: 1, count: 96)
    #expect(UniformLayer.widened(scales, codes: codes) == nil)
    codes[7] = -500
    codes[8] = 127
    codes[10] = 128
    let wider = UniformLayer.widened(scales, codes: codes)
    #expect(wider?[2] == 5)
    #expect(wider?[3] == 1.25)
    #expect(wider?.filter { $0 == 1 }.count == 94)
    codes[0] = 200
    #expect(UniformLayer.widened(scales, codes: codes) == nil)
  }

  @Test func shiftedTargetsAreLeastSquares() throws {
    // x′ = x / 2 throughout: weights twice as large make up for it, and half of that is gone.
    var generator = SeededGenerator(seed: 8)
    let gram = NaiveLattice.covariance(4, samples: 500, &generator)
    let target = try ShiftedTarget(
      gram: gram.map { Float($0 / 4) }, cross: gram.map { Float($0 / 2) }, count: 4)
    let weights = Matrix(rows: 2, columns: 4, elements: [1, -2, 3, 0.5, -1, 0, 2, 1])
    let moved = target.target(weights)
    for (a, b) in zip(moved.elements, weights.elements) { #expect(abs(a - 1.5 * b) < 0.1) }
    let same = try ShiftedTarget(gram: gram.map { Float($0) }, cross: gram.map { Float($0) }, count: 4)
    for (a, b) in zip(same.target(weights).elements, weights.elements) { #expect(abs(a - b) < 1e-5) }
  }

  @Test func plainCodesAreNearest() throws {
    let weights = Matrix(rows: 2, columns: 3, elements: [0.1, -0.2, 0.05, 0, 0, 0])
    let tensor = try PlainUniform.rounded(weights, step: 0.125)
    #expect(tensor.format == .uniform8)
    var curve = RateCurve()
    PlainUniform.addRates(of: weights, to: &curve)
    #expect(curve.bytes(step: 0.125) > 0)
  }
}
