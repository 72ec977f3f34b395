# vmops' default guest: one 512-byte boot sector (16-bit real mode, BIOS, QEMU's q35 machine).
#
#   - counts its boots in its own sector on the disk, so that a disk that was lost shows
#   - prints "READY vmops boot=N" on the first serial port
#   - sleeps until the ACPI power button is pressed, then prints "BYE" and powers off
#
# Built with:  as --32 -o boot.o boot.S && ld -m elf_i386 -Ttext 0x7c00 --oformat binary \
#              -o boot.bin boot.o
# (a test builds it again and compares). Ports: ICH9 power management at 0x600, as SeaBIOS sets it.

        .code16
        .set    COM1, 0x3f8
        .set    PM1_STATUS, 0x600       # bit 8: power button pressed
        .set    PM1_ENABLE, 0x602       # bit 8: power button enabled
        .set    PM1_CONTROL, 0x604      # bit 13: enter the sleep state of bits 10-12; 0 is "off"

        .globl  _start
_start: xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $0x7c00, %sp
        ljmp    $0, $main               # some BIOSes start us at 0x07c0:0000

main:   sti
        incw    boots
        movw    $0x0301, %ax            # INT 13h, AH=3: write one sector ...
        movw    $0x0001, %cx            # ... cylinder 0, sector 1 ...
        movb    $0, %dh                 # ... head 0 of the drive in DL, where the BIOS put it
        movw    $0x7c00, %bx
        int     $0x13

        movw    $PM1_ENABLE, %dx
        movw    $0x0100, %ax
        outw    %ax, %dx

        movw    $ready, %si
        call    print
        movw    boots, %ax
        call    print_number
        movw    $newline, %si
        call    print

idle:   hlt                             # until the next timer tick, 18.2 a second
        movw    $PM1_STATUS, %dx
        inw     %dx, %ax
        testb   $0x01, %ah
        jz      idle

        movw    $bye, %si
        call    print
        movw    $PM1_CONTROL, %dx
        movw    $0x2000, %ax
        outw    %ax, %dx
halt:   hlt
        jmp     halt

# print the text at SI, which ends with a zero byte
print:  lodsb
        orb     %al, %al
        jz      1f
        call    put
        jmp     print
1:      ret

# print AX as a decimal number
print_number:
        movw    $10, %bx
        xorw    %cx, %cx
1:      xorw    %dx, %dx
        divw    %bx
        pushw   %dx
        incw    %cx
        orw     %ax, %ax
        jnz     1b
2:      popw    %ax
        addb    $'0', %al
        call    put
        loop    2b
        ret

# send AL, when the serial port has room
put:    pushw   %ax
        movw    $COM1 + 5, %dx
1:      inb     %dx, %al
        testb   $0x20, %al
        jz      1b
        popw    %ax
        movw    $COM1, %dx
        outb    %al, %dx
        ret

ready:  .asciz  "READY vmops boot="
newline: .asciz "\r\n"
bye:    .asciz  "BYE\r\n"

        .org    508
boots:  .word   0
        .org    510
        .word   0xaa55                  # what makes it a boot sector
