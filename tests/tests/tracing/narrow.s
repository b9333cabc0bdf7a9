# A daemon of 32 bits that needs no C library: argv[1] is the file that it locks.
    .globl _start
_start:
    mov 8(%esp), %ebp
    mov $2, %eax                # fork
    int $0x80
    test %eax, %eax
    jnz leave
    mov $66, %eax               # setsid
    int $0x80
    mov $60, %eax               # umask
    mov $027, %ebx
    int $0x80
    mov $12, %eax               # chdir
    mov $root, %ebx
    int $0x80
    mov $5, %eax                # open: O_RDWR|O_CREAT|O_LARGEFILE
    mov %ebp, %ebx
    mov $0100102, %ecx
    mov $0644, %edx
    int $0x80
    mov %eax, %ebx
    mov $221, %eax              # fcntl64: F_SETLK64
    mov $13, %ecx
    mov $lock, %edx
    int $0x80
    mov $6, %eax                # close, of a number beyond those that are looked at
    mov $300, %ebx
    int $0x80
again:
    mov $29, %eax               # pause
    int $0x80
    jmp again
leave:
    mov $252, %eax              # exit_group
    xor %ebx, %ebx
    int $0x80

    .section .rodata
root:
    .asciz "/"

    .data
lock:                           # struct flock64: F_WRLCK, all of it
    .short 1, 0
    .long 0, 0, 0, 0, 0

    .section .note.GNU-stack, "", @progbits
