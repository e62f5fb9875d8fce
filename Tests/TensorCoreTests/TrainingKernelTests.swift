import TensorCore
import Testing

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// The kernels of training against their definitions in double precision, at odd lengths, in every instruction set.
@Suite("Training kernels")
struct TrainingKernelTests {
  private static let lengths = [0, 1, 15, 16, 17, 48, 131]

  /// - Parameter size: of the terms that results are differences of.
  private func close(_ found: [Float], _ expected: [Double], _ what: String, size: Double = 1e-6) {
    let top = expected.reduce(size) { max($0, abs($1)) }
    for (a, b) in zip(found, expected) { #expect(abs(Double(a) - b) < 4e-6 * top, "\(what): \(a), \(b)") }
  }

  @Test("back through silu and product", arguments: instructionSets)
  func silu(name: String) {
    withInstructionSet(name) {
      var generator = SeededGenerator(seed: 3)
      for count in Self.lengths {
        let (x, u, g) = (generator.floats(count), generator.floats(count), generator.floats(count))
        var (gate, up) = (x, u)
        Kernels.siluBack(gate: &gate, up: &up, gradient: g, count: count)
        var (byGate, byUp) = ([Double](), [Double]())
        for i in 0..<count {
          let (a, b, c) = (Double(x[i]), Double(u[i]), Double(g[i]))
          let sigmoid = 1 / (1 + exp(-a))
          byGate.append(c * b * sigmoid * (1 + a * (1 - sigmoid)))
          byUp.append(c * a * sigmoid)
        }
        close(gate, byGate, name)
        close(up, byUp, name)
      }
    }
  }

  @Test("back through RMS norm and softmax", arguments: instructionSets)
  func norms(name: String) {
    withInstructionSet(name) {
      var generator = SeededGenerator(seed: 4)
      for count in Self.lengths where count > 0 {
        let (x, w, g) = (generator.floats(count), generator.floats(count), generator.floats(count))
        var (square, dot): (Double, Double) = (0, 0)
        for i in 0..<count {
          square += Double(x[i]) * Double(x[i])
          dot += Double(x[i]) * Double(w[i]) * Double(g[i])
        }
        let inverse = 1 / (square / Double(count) + 1e-5).squareRoot()
        let pull = dot / Double(count) * inverse * inverse
        var back = g
        Kernels.rmsNormBack(x, weight: w, inverse: Float(inverse), gradient: &back, count: count)
        let size = (0..<count).reduce(0) { max($0, inverse * abs(Double(w[$1] * g[$1]))) }
        let wanted = (0..<count).map { inverse * (Double(w[$0] * g[$0]) - Double(x[$0]) * pull) }
        close(back, wanted, name, size: size)
        var p = x
        Kernels.softmax(&p, count: count)
        var (d, sum): ([Float], Double) = (g, 0)
        Kernels.softmaxBack(p, &d, count: count)
        for i in 0..<count { sum += Double(p[i]) * Double(g[i]) }
        close(d, (0..<count).map { Double(p[$0]) * (Double(g[$0]) - sum) }, name, size: abs(sum))
      }
    }
  }

  @Test("AdamW, step by step; zeros stay where they are to", arguments: instructionSets)
  func adamW(name: String) {
    withInstructionSet(name) {
      var generator = SeededGenerator(seed: 5)
      for (count, keeps) in [(37, false), (37, true)] {
        var w = generator.floats(count)
        w[3] = 0
        var (m, v) = ([Float](repeating: 0, count: count), [Float](repeating: 0, count: count))
        var wide = w.map { Double($0) }
        var (first, second) = ([Double](repeating: 0, count: count), [Double](repeating: 0, count: count))
        for step in 1...5 {
          let g = generator.floats(count)
          Kernels.adamW(
            .init(
              rate: 0.01, decay: 0.1, betas: (0.9, 0.95), epsilon: 1e-8, step: step, gradientScale: 0.5,
              keepsZeros: keeps),
            weights: &w, gradients: g, first: &m, second: &v, count: count)
          for i in 0..<count where !keeps || wide[i] != 0 {
            let slope = Double(g[i]) * 0.5
            first[i] = 0.9 * first[i] + 0.1 * slope
            second[i] = 0.95 * second[i] + 0.05 * slope * slope
            let (a, b) = (
              first[i] / (1 - pow(0.9, Double(step))), second[i] / (1 - pow(0.95, Double(step)))
            )
            wide[i] -= 0.01 * (0.1 * wide[i] + a / (b.squareRoot() + 1e-8))
          }
        }
        close(w, wide, name)
        #expect((w[3] == 0) == keeps)
      }
    }
  }
}
