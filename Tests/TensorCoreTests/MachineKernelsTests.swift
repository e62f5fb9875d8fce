import TensorCore
import Testing

@Suite struct MachineKernelsTests {
  @Test(
    "reading sums the words of any whole number of lines, as the scalar twin does",
    arguments: [0, 64, 448, 512, 4160])
  func reading(count: Int) {
    var generator = SeededGenerator(seed: 4)
    let words = (0..<count / 8).map { _ in generator.next() }
    let expected = words.reduce(0, &+)
    words.withUnsafeBytes { bytes in
      #expect(MachineKernels.read(bytes) == expected)
      MachineKernels.selectScalar(true)
      #expect(MachineKernels.read(bytes) == expected)
      MachineKernels.selectScalar(false)
    }
  }

  @Test("arithmetic does what it counts", arguments: MachineKernels.Arithmetic.allCases, [false, true])
  func arithmetic(kind: MachineKernels.Arithmetic, scalar: Bool) {
    MachineKernels.selectScalar(scalar)
    defer { MachineKernels.selectScalar(false) }
    guard MachineKernels.instructions(kind) != nil else {
      #expect(MachineKernels.multiply(kind, by: 3, rounds: 5) == 0)
      return
    }
    for (x, rounds) in [(1, 1), (3, 7), (100, 250)] {
      let expected = Double(x) * MachineKernels.operations(kind) / 2 * Double(rounds)
      #expect(MachineKernels.multiply(kind, by: x, rounds: rounds) == expected)
    }
  }
}
