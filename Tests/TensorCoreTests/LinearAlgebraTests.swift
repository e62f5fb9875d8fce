import TensorCore
import Testing

/// OpenBLAS as it is wrapped, against triple loops.
@Suite struct LinearAlgebraTests {
  static func numbers(_ count: Int, seed: UInt64) -> [Float] {
    var generator = SeededGenerator(seed: seed)
    return (0..<count).map { _ in Float(generator.uniform() - 0.5) }
  }

  @Test(arguments: [(1, 1, 1), (3, 5, 7), (300, 33, 17), (257, 8, 513)], [false, true])
  func products(shape: (Int, Int, Int), transposed: Bool) {
    let (rows, inner, columns) = shape
    let (a, b) = (Self.numbers(rows * inner, seed: 1), Self.numbers(inner * columns, seed: 2))
    var result = [Float](repeating: 2, count: rows * columns)
    for adding in [true, false] {
      LinearAlgebra.multiply(
        a, b, transposed: transposed, rows: rows, inner: inner, columns: columns, into: &result,
        adding: adding)
      for (i, j) in [(0, 0), (rows - 1, columns - 1), (rows / 2, columns / 3)] {
        let sum = (0..<inner).reduce(adding ? 2.0 : 0.0) { total, k in
          total + Double(a[i * inner + k]) * Double(transposed ? b[j * inner + k] : b[k * columns + j])
        }
        #expect(abs(Double(result[i * columns + j]) - sum) < 1e-5)
      }
    }
  }

  @Test(arguments: [(1, 1), (5, 3), (40, 300), (9, 600)])
  func gramMatrices(shape: (Int, Int)) {
    let (rows, columns) = shape
    let x = Self.numbers(rows * columns, seed: 3)
    var gram = [Float](repeating: 1, count: columns * columns)
    LinearAlgebra.addGram(of: x, rows: rows, columns: columns, factor: 0.5, to: &gram)
    var worst = 0.0
    for i in 0..<columns {
      for j in 0..<columns {
        let sum = (0..<rows).reduce(1.0) {
          $0 + 0.5 * Double(x[$1 * columns + i]) * Double(x[$1 * columns + j])
        }
        worst = max(worst, abs(Double(gram[i * columns + j]) - sum))
      }
    }
    #expect(worst < 1e-5)
  }

  @Test func threadsDoNotChangeABit() {
    let x = Self.numbers(50 * 700, seed: 4)
    let before = Parallel.threadCount
    defer { Parallel.threadCount = before }
    let results = [1, 2, 3, 4].map { threads in
      Parallel.threadCount = threads
      var gram = [Float](repeating: 0, count: 700 * 700)
      LinearAlgebra.addGram(of: x, rows: 50, columns: 700, to: &gram)
      var product = [Float](repeating: 0, count: 700 * 700)
      LinearAlgebra.multiply(
        gram, gram, transposed: false, rows: 700, inner: 700, columns: 700, into: &product)
      return (gram + product).map(\.bitPattern)
    }
    for result in results { #expect(result == results[0]) }
  }

  @Test("inverses of large matrices, a slab at a time", arguments: [513, 700])
  func largeInverses(n: Int) throws {
    let x = Self.numbers(n * n, seed: 7).map(Double.init)
    var a = LinearAlgebra.multiply(x, transposedA: true, x, rows: n, inner: n, columns: n)
    for i in 0..<n { a[i * n + i] += 10 }
    var factor = a
    try LinearAlgebra.cholesky(&factor, count: n)
    let inverse = try LinearAlgebra.inverse(ofCholesky: factor, count: n)
    let one = LinearAlgebra.multiply(a, inverse, rows: n, inner: n, columns: n)
    for i in 0..<n {
      for j in 0..<n {
        #expect(abs(one[i * n + j] - (i == j ? 1 : 0)) < 1e-9)
        #expect(inverse[i * n + j] == inverse[j * n + i])
      }
    }
  }

  @Test(arguments: [1, 2, 17, 130])
  func choleskyFactorsAndInverses(n: Int) throws {
    let x = Self.numbers(3 * n * n, seed: 5).map(Double.init)
    var a = [Double](repeating: 0, count: n * n)
    for i in 0..<n {
      for j in 0..<n {
        a[i * n + j] = (0..<3 * n).reduce(i == j ? 0.1 : 0) { $0 + x[$1 * n + i] * x[$1 * n + j] }
      }
    }
    var factor = a
    try LinearAlgebra.cholesky(&factor, count: n)
    let inverse = try LinearAlgebra.inverse(ofCholesky: factor, count: n)
    let triangle = try LinearAlgebra.inverse(ofLowerTriangle: factor, count: n)
    for i in 0..<n {
      for j in 0..<n {
        let again = (0..<n).reduce(0.0) { $0 + factor[i * n + $1] * factor[j * n + $1] }
        #expect(abs(again - a[i * n + j]) < 1e-9)
        let one = (0..<n).reduce(0.0) { $0 + a[i * n + $1] * inverse[$1 * n + j] }
        #expect(abs(one - (i == j ? 1 : 0)) < 1e-8)
        let unit = (0..<n).reduce(0.0) { $0 + factor[i * n + $1] * triangle[$1 * n + j] }
        #expect(abs(unit - (i == j ? 1 : 0)) < 1e-8)
        if j > i { #expect(factor[i * n + j] == 0 && triangle[i * n + j] == 0) }
      }
    }
  }

  @Test func refusesWhatIsNotPositiveDefinite() {
    var matrix: [Double] = [1, 2, 2, 1]
    #expect(throws: NotPositiveDefinite(minor: 2)) { try LinearAlgebra.cholesky(&matrix, count: 2) }
  }
}
