import TensorCore
import Testing

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Vector operations against plain loops in double precision, at lengths around the vector widths.
@Suite struct KernelsTests {
  static let lengths = [0, 1, 2, 7, 15, 16, 17, 31, 32, 33, 48, 64, 100, 257]

  static func numbers(_ count: Int, seed: UInt64, scale: Float = 1) -> [Float] {
    var generator = SeededGenerator(seed: seed)
    return generator.floats(count).map { $0 * scale }
  }

  /// The largest error of `values`, relative to the reference's size or to `floor` where that is larger.
  static func error(_ values: [Float], _ reference: [Double], floor: Double = 1e-30) -> Double {
    guard values.count == reference.count else { return .infinity }
    var worst = 0.0
    for (value, expected) in zip(values, reference) {
      let error = abs(Double(value) - expected) / max(abs(expected), floor)
      worst = error.isNaN ? .infinity : max(worst, error)
    }
    return worst
  }

  /// `body` applied in place to a copy that starts off its vector alignment.
  static func inPlace(_ x: [Float], _ body: (UnsafeMutablePointer<Float>) -> Void) -> [Float] {
    var copy = [0] + x + [12345]
    copy.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      body(base + 1)
    }
    #expect(copy[0] == 0 && copy[x.count + 1] == 12345, "wrote outside of its vector")
    return Array(copy[1...x.count + 0].prefix(x.count))
  }

  @Test(arguments: instructionSets)
  func elementwise(instructionSet: String) {
    withInstructionSet(instructionSet) {
      for n in Self.lengths where n > 0 {
        let (x, y) = (Self.numbers(n, seed: 1), Self.numbers(n, seed: 2))
        let pairs = zip(x, y).map { (Double($0), Double($1)) }
        let sum = Self.inPlace(y) { Kernels.add(x, to: $0, count: n) }
        #expect(Self.error(sum, pairs.map { $0 + $1 }, floor: 1e-3) < 1e-6)
        let scaled = Self.inPlace(y) { Kernels.addScaled(-2.5, x, to: $0, count: n) }
        #expect(Self.error(scaled, pairs.map { $1 - 2.5 * $0 }, floor: 0.1) < 1e-6)
        let product = Self.inPlace(y) { Kernels.multiply(x, into: $0, count: n) }
        #expect(Self.error(product, pairs.map { $0 * $1 }) < 1e-6)
        let half = Self.inPlace(y) { Kernels.scale($0, by: 0.5, count: n) }
        #expect(Self.error(half, pairs.map { $1 / 2 }) == 0)
        let positive = Self.inPlace(y) { Kernels.relu($0, count: n) }
        #expect(Self.error(positive, pairs.map { max($1, 0) }) == 0)
      }
    }
  }

  @Test(arguments: instructionSets)
  func reductions(instructionSet: String) {
    withInstructionSet(instructionSet) {
      for n in Self.lengths {
        let (x, y) = (Self.numbers(n, seed: 3), Self.numbers(n, seed: 4))
        let products = zip(x, y).map { Double($0) * Double($1) }
        let (sum, size) = (products.reduce(0, +), products.reduce(1e-30) { $0 + abs($1) })
        #expect(abs(Double(Kernels.dot(x, y, count: n)) - sum) < 1e-6 * size)
        #expect(abs(Kernels.dotWide(x, y, count: n) - sum) < 1e-14 * size)
        #expect(Kernels.absoluteMaximum(x, count: n) == x.reduce(0) { max($0, abs($1)) })
        #expect(Kernels.allFinite(x, count: n))
        let most = x.max()
        let first = x.firstIndex { $0 == most }
        #expect(Kernels.argmax(x, count: n) == first ?? 0)
        let direct = x.reduce(0.0) { $0 + exp(Double($1)) }
        let expected = n == 0 ? -Double.infinity : log(direct)
        let found = Kernels.logSumExp(x, count: n)
        #expect(found == expected || abs(found - expected) < 1e-12)
        let (xLog, yLog) = (Kernels.logSumExp(x, count: n), Kernels.logSumExp(y, count: n))
        let terms = zip(x, y).map { exp(Double($0) - xLog) * ((Double($0) - xLog) - (Double($1) - yLog)) }
        let divergence = Kernels.logDivergence(x, xLog: xLog, y, yLog: yLog, count: n)
        #expect(abs(divergence - terms.reduce(0, +)) < 1e-12)
        #expect(Kernels.logDivergence(x, xLog: xLog, x, yLog: xLog, count: n) == 0)
      }
    }
  }

  @Test(arguments: instructionSets)
  func reductionsSeeSpecialValues(instructionSet: String) {
    withInstructionSet(instructionSet) {
      for n in Self.lengths where n > 0 {
        for place in Set([0, n / 2, n - 1]) {
          for bad in [Float.nan, .infinity, -.infinity] {
            var x = Self.numbers(n, seed: 5)
            x[place] = bad
            #expect(!Kernels.allFinite(x, count: n))
            let most = Kernels.absoluteMaximum(x, count: n)
            #expect(bad.isNaN ? most.isNaN : most == .infinity)
            let expected = x.indices.filter { !x[$0].isNaN }.max { x[$0] < x[$1] } ?? 0
            #expect(Kernels.argmax(x, count: n) == expected)
            let sum = Kernels.logSumExp(x, count: n)
            #expect(bad.isNaN ? sum.isNaN : bad > 0 ? sum == .infinity : sum < 100)
          }
        }
        let equal = [Float](repeating: 1.5, count: n)
        #expect(Kernels.argmax(equal, count: n) == 0)
        let nothing = [Float](repeating: -.infinity, count: n)
        #expect(Kernels.logSumExp(nothing, count: n) == -.infinity)
        #expect(Self.inPlace(nothing) { Kernels.softmax($0, count: n) } == [Float](repeating: 0, count: n))
      }
      let large: [Float] = [1000, 999, -1000]
      #expect(abs(Kernels.logSumExp(large, count: 3) - (1000 + log(1 + exp(-1)))) < 1e-12)
    }
  }

  @Test(arguments: instructionSets)
  func norms(instructionSet: String) {
    withInstructionSet(instructionSet) {
      for n in Self.lengths where n > 0 {
        let x = Self.numbers(n, seed: 6).map { $0 + 3 }
        let (weight, bias) = (Self.numbers(n, seed: 7), Self.numbers(n, seed: 8))
        let wide = x.map(Double.init)
        let square = wide.reduce(0) { $0 + $1 * $1 } / Double(n)
        let rms = wide.indices.map { wide[$0] / (square + 1e-5).squareRoot() * Double(weight[$0]) }
        var result = [Float](repeating: 0, count: n)
        Kernels.rmsNorm(x, weight: weight, epsilon: 1e-5, into: &result, count: n)
        #expect(Self.error(result, rms) < 1e-6)
        let mean = wide.reduce(0, +) / Double(n)
        let variance = wide.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(n)
        let plain = wide.indices.map {
          (wide[$0] - mean) / (variance + 1e-5).squareRoot() * Double(weight[$0])
        }
        Kernels.layerNorm(x, weight: weight, bias: nil, epsilon: 1e-5, into: &result, count: n)
        #expect(Self.error(result, plain, floor: 1) < 1e-6)
        Kernels.layerNorm(x, weight: weight, bias: bias, epsilon: 1e-5, into: &result, count: n)
        #expect(Self.error(result, plain.indices.map { plain[$0] + Double(bias[$0]) }, floor: 1) < 1e-6)
        let largest = wide.max() ?? 0
        let powers = wide.map { exp($0 - largest) }
        let soft = Self.inPlace(x) { Kernels.softmax($0, count: n) }
        #expect(Self.error(soft, powers.map { $0 / powers.reduce(0, +) }, floor: 1e-30) < 2e-6)
      }
    }
  }

  /// Every activation over its whole range, in the lengths around the vector widths too.
  @Test(arguments: instructionSets)
  func activationFunctions(instructionSet: String) {
    withInstructionSet(instructionSet) {
      let range =
        (-2000...2000).map { Float($0) * 0.01 } + [0, -0.0, 1e-6, -1e-6, 50, -50, 90, -90, 1000, -1000]
      for n in Self.lengths.filter({ $0 > 0 }) + [range.count] {
        let x = n == range.count ? range : Self.numbers(n, seed: 9)
        let up = Self.numbers(n, seed: 10)
        let wide = x.map(Double.init)
        let silu = wide.indices.map { wide[$0] / (1 + exp(-wide[$0])) * Double(up[$0]) }
        let gated = Self.inPlace(x) { Kernels.siluMultiply($0, up: up, count: n) }
        #expect(Self.error(gated, silu, floor: 1e-30) < 2e-6)
        let exact = Self.inPlace(x) { Kernels.gelu($0, count: n) }
        #expect(Self.error(exact, wide.map { $0 * erfc(-$0 / 2.0.squareRoot()) / 2 }, floor: 1e-4) < 2e-6)
        let curve = wide.map {
          $0 / (1 + exp(-2 * (2 / Double.pi).squareRoot() * ($0 + 0.044715 * $0 * $0 * $0)))
        }
        let approximate = Self.inPlace(x) { Kernels.geluTanh($0, count: n) }
        #expect(Self.error(approximate, curve, floor: 1e-4) < 3e-6)
        let multiplied = Self.inPlace(x) { Kernels.geluTanhMultiply($0, up: up, count: n) }
        #expect(Self.error(multiplied, curve.indices.map { curve[$0] * Double(up[$0]) }, floor: 1e-4) < 3e-6)
        let bent = Self.inPlace(x) { Kernels.tanh($0, count: n) }
        #expect(Self.error(bent, wide.map { Glibc.tanh($0) }) < 1e-6)
      }
    }
  }

  @Test(arguments: instructionSets)
  func activationFunctionsKeepNaN(instructionSet: String) {
    withInstructionSet(instructionSet) {
      let x = [Float](repeating: .nan, count: 17)
      let ones = [Float](repeating: 1, count: 17)
      let results = [
        Self.inPlace(x) { Kernels.gelu($0, count: 17) },
        Self.inPlace(x) { Kernels.geluTanh($0, count: 17) },
        Self.inPlace(x) { Kernels.siluMultiply($0, up: ones, count: 17) },
        Self.inPlace([.nan] + ones) { Kernels.softmax($0, count: 18) },
      ]
      for result in results {
        let isNaN = result.map(\.isNaN)
        #expect(!isNaN.contains(false))
      }
    }
  }

  @Test(arguments: instructionSets)
  func rotations(instructionSet: String) {
    withInstructionSet(instructionSet) {
      for half in [1, 3, 8, 16, 24, 32, 64] {
        let x = Self.numbers(2 * half, seed: 11)
        let angles = (0..<half).map { 37 * pow(10000, -Double($0) / Double(half)) }
        let (cosine, sine) = (angles.map { Float(cos($0)) }, angles.map { Float(sin($0)) })
        var (halves, pairs) = (
          [Double](repeating: 0, count: 2 * half), [Double](repeating: 0, count: 2 * half)
        )
        for i in 0..<half {
          let (a, b) = (Double(x[i]), Double(x[i + half]))
          halves[i] = a * cos(angles[i]) - b * sin(angles[i])
          halves[i + half] = a * sin(angles[i]) + b * cos(angles[i])
          let (c, d) = (Double(x[2 * i]), Double(x[2 * i + 1]))
          pairs[2 * i] = c * cos(angles[i]) - d * sin(angles[i])
          pairs[2 * i + 1] = c * sin(angles[i]) + d * cos(angles[i])
        }
        let found = Self.inPlace(x) { Kernels.rotateHalves($0, cosine: cosine, sine: sine, half: half) }
        #expect(Self.error(found, halves, floor: 1) < 1e-6)
        let other = Self.inPlace(x) { Kernels.rotatePairs($0, cosine: cosine, sine: sine, half: half) }
        #expect(Self.error(other, pairs, floor: 1) < 1e-6)
      }
    }
  }
}
