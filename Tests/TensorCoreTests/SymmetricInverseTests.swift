import TensorCore
import Testing

@Suite("The inverse of a symmetric matrix in single precision")
struct SymmetricInverseTests {
  /// A covariance of random rows with a ridge.
  private func matrix(_ n: Int, seed: UInt64) -> [Float] {
    var generator = SeededGenerator(seed: seed)
    let rows = n / 2 + 3
    let x = (0..<rows * n).map { _ in Float(generator.uniform()) - 0.5 }
    var result = [Float](repeating: 0, count: n * n)
    x.withUnsafeBufferPointer { x in
      result.withUnsafeMutableBufferPointer { result in
        guard let x = x.baseAddress, let target = result.baseAddress else { return }
        LinearAlgebra.addGram(of: x, rows: rows, columns: n, factor: 12 / Float(rows), to: target)
      }
    }
    for place in 0..<n { result[place * n + place] += 0.51 }
    return result
  }

  @Test(
    "times the matrix it is the identity, within blocks and across them",
    arguments: [1, 2, 37, 256, 257, 700])
  func identity(n: Int) throws {
    let a = matrix(n, seed: 5)
    var inverse = a
    // Nothing above the diagonal is read.
    for row in 0..<n { for column in row + 1..<n { inverse[row * n + column] = .nan } }
    try LinearAlgebra.invert(&inverse, count: n)
    var worst = 0.0
    for row in stride(from: 0, to: n, by: max(1, n / 40)) {
      var line = [Double](repeating: 0, count: n)
      for k in 0..<n {
        let factor = Double(inverse[row * n + k])
        for column in 0..<n { line[column] += factor * Double(a[k * n + column]) }
      }
      for column in 0..<n {
        worst = max(worst, abs(line[column] - (row == column ? 1 : 0)))
        #expect(inverse[row * n + column] == inverse[column * n + row])
      }
    }
    #expect(worst < 1e-4)
  }

  @Test("a matrix that is not positive definite says which minor it is")
  func indefinite() {
    var a = matrix(300, seed: 6)
    a[270 * 300 + 270] = -1
    #expect(throws: NotPositiveDefinite(minor: 271)) { try LinearAlgebra.invert(&a, count: 300) }
    var nothing: [Float] = []
    #expect(throws: Never.self) { try LinearAlgebra.invert(&nothing, count: 0) }
  }

  @Test("the number of threads changes nothing")
  func threads() throws {
    let before = Parallel.threadCount
    defer { Parallel.threadCount = before }
    var (one, four) = (matrix(600, seed: 7), matrix(600, seed: 7))
    Parallel.threadCount = 1
    try LinearAlgebra.invert(&one, count: 600)
    Parallel.threadCount = 4
    try LinearAlgebra.invert(&four, count: 600)
    #expect(one == four)
  }
}
